"""What an intervention is, and the one way to put it on a model and take it off again."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from files.errors import InputError


@dataclass(frozen=True)
class Site:
    """A place in a model where activations can be read and replaced.

    Attributes:
        module: Dotted path of the module, as in `model.named_modules()`.
        kind: Whether the tensor that enters the module is replaced or the one that leaves it.
    """

    module: str
    kind: Literal["input", "output"] = "output"


class Intervention(ABC):
    """A change of activations, with one row per batch row, that leaves weights and tensors in place untouched."""

    @property
    @abstractmethod
    def sites(self) -> Sequence[Site]:
        """Where the intervention acts, in the order in which its hooks are set."""

    @abstractmethod
    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        """The tensor that replaces the one at the site: a new tensor, never the given one changed in place.

        Args:
            site: One of `sites`.
            entering: (B, T, in) what enters the module.
            leaving: (B, T, out) what leaves it; at a site of kind `input` the same tensor as `entering`.

        Returns:
            A tensor of the shape of `leaving`.
        """

    def prepare(self, model: nn.Module, stack: ExitStack) -> None:  # noqa: B027 - most interventions need none
        """Called once when the intervention is put on a model, before its hooks are set.

        For interventions that must know more than the tensors at their sites, such as the attention mask of the call:
        set further hooks here and give their removal to the stack.

        Args:
            model: The model it is put on.
            stack: What is registered here is undone when the intervention is taken off.
        """


@contextmanager
def applied(model: nn.Module, *interventions: Intervention) -> Iterator[nn.Module]:
    """Change activations inside the block; on any exit remove exactly the hooks that were set here.

    Several interventions act in the order given; where two share a site, the second sees what the first made of it.
    Blocks may be nested.

    Args:
        model: The model; its weights, modules and names stay as they are.
        interventions: What to apply.

    Yields:
        The model.

    Raises:
        InputError: If a site names a module that the model does not have.
    """
    with ExitStack() as stack:
        for intervention in interventions:
            intervention.prepare(model, stack)
            for site in intervention.sites:
                stack.callback(_hooked(find_module(model, site.module), site, intervention))
        yield model


def find_module(model: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path.

    Raises:
        InputError: If there is none; the message names the closest paths.

    Example:
        >>> find_module(nn.Sequential(nn.Linear(2, 3)), "0")
        Linear(in_features=2, out_features=3, bias=True)
    """
    try:
        return model.get_submodule(path)
    except AttributeError:
        paths = [name for name, _ in model.named_modules() if name]
        close = difflib.get_close_matches(path, paths, n=3, cutoff=0.5) or paths[:3]
        raise InputError(
            "the model has no such module",
            expected=f"a module path such as {', '.join(close)}",
            got=path,
            fix="correct the name; model.named_modules() lists all of them",
        ) from None


def _hooked(module: nn.Module, site: Site, intervention: Intervention) -> Callable[[], None]:
    """Set the hook of one site; the result removes it."""
    if site.kind == "input":

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            hidden = entering_tensor(args, kwargs)
            return _replaced(args, kwargs, hidden, intervention.edit(site, hidden, hidden))

        return module.register_forward_pre_hook(before, with_kwargs=True).remove

    def after(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        hidden, *rest = output if isinstance(output, tuple) else (output,)
        edited = intervention.edit(site, entering_tensor(args, kwargs), hidden)
        return (edited, *rest) if isinstance(output, tuple) else edited

    return module.register_forward_hook(after, with_kwargs=True).remove


def entering_tensor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """The hidden state among the arguments of a module's call: its first tensor, positional before named.

    Raises:
        TypeError: If the module was called without any tensor.

    Example:
        >>> import torch
        >>> entering_tensor((), {"hidden_states": torch.zeros(1), "scale": 2.0})
        tensor([0.])
    """
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            return value
    raise TypeError("expected a module that is called with a tensor, but there was none among its arguments")


def _replaced(
    args: tuple[Any, ...], kwargs: dict[str, Any], old: Tensor, new: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same call with one tensor exchanged."""
    swapped = tuple(new if value is old else value for value in args)
    return swapped, {name: new if value is old else value for name, value in kwargs.items()}
