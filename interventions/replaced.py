"""Replacing what leaves a module by a function of it, and reading it without running what comes after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from interventions.applied import Intervention, Site, find_module
from interventions.compiled import uncompiled


class ReplaceOutput(Intervention):
    """Replaces activations by a function of them, the same for every row.

    Args:
        site: Where.
        change: From (B, T, W) to a new tensor of that shape.
    """

    def __init__(self, site: Site, change: Callable[[Tensor], Tensor]) -> None:
        self.site = site
        self.change = change

    @property
    def sites(self) -> Sequence[Site]:
        """The one site."""
        return [self.site]

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        """The replacement."""
        return self.change(leaving)

    def rows(self, assignment: Sequence[int]) -> ReplaceOutput:
        """Itself: all rows are treated alike."""
        return self


class _ReachedError(Exception):
    """Ends a forward pass where its caller has what it wanted."""


def output_of(model: nn.Module, site: Site, **inputs: Any) -> Tensor:
    """What leaves a module in a forward pass, which ends there.

    Args:
        model: The model.
        site: A site of kind `output`.
        inputs: Of the model's call.

    Returns:
        The activations (B, T, W), with gradients only where the model computes any.

    Raises:
        InputError: The model has no such module.
        RuntimeError: The module was never called.
    """
    found: list[Tensor] = []

    def note(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)
        raise _ReachedError

    handle = find_module(model, site.module).register_forward_hook(note)
    try:
        with uncompiled():
            model(**inputs)
    except _ReachedError:
        return found[0]
    finally:
        handle.remove()
    raise RuntimeError(f"the model was called, but its module {site.module} was not")
