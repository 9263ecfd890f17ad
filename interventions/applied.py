"""What an intervention is, how several become one, and the one way to put them on a model and take them off again."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from files.errors import InputError
from interventions.compiled import uncompiled
from lm.passes import ForwardRows


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
    """A change of activations, with one row per batch row, that leaves weights and tensors in place untouched.

    Interventions are values: `a + b` acts as `a` and then as `b`, `0.5 * a` and `-a` are `a` at another strength, and
    `sum([a, b, c])` works as well.
    """

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

    def prepare(self, model: nn.Module, stack: ExitStack) -> Intervention | None:  # noqa: ARG002
        """Called once when the intervention is put on a model, before its hooks are set.

        For interventions that must know more than the tensors at their sites, such as the attention mask of the call:
        set further hooks here and give their removal to the stack.

        Args:
            model: The model it is put on.
            stack: What is registered here is undone when the intervention is taken off.

        Returns:
            What acts in its place until it is taken off, so that what was learnt about the model is not kept in the
            intervention; None for the intervention itself.
        """
        return None

    def rows(self, assignment: Sequence[int]) -> Intervention:  # noqa: ARG002
        """The same for a batch whose row r stands under row `assignment[r]` of the intervention.

        Raises:
            TypeError: This kind of intervention has no rows.
        """
        raise TypeError(f"{type(self).__name__} has no rows to lay out over a batch")

    def for_pass(self, rows: ForwardRows) -> Intervention:
        """The same for one forward pass of `lm`: laid out by its steering keys, and knowing prompts from answers."""
        return self.rows(rows.keys.tolist())

    def scaled(self, strength: float | Tensor) -> Intervention:  # noqa: ARG002
        """The same at another strength: 0 is the base model, bit for bit, and 1 the intervention itself.

        Raises:
            TypeError: This kind of intervention has no strength.
        """
        raise TypeError(f"{type(self).__name__} has no strength to scale")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Intervention:  # noqa: ARG002
        """The same on another device or in another number format; without tensors of its own, itself."""
        return self

    def __add__(self, other: Intervention) -> Combined:
        return Combined([self, other])

    def __radd__(self, other: int) -> Intervention:
        if other != 0:
            return NotImplemented
        return self  # sum() starts from 0

    def __mul__(self, strength: float | Tensor) -> Intervention:
        return self.scaled(strength)

    __rmul__ = __mul__

    def __neg__(self) -> Intervention:
        return self.scaled(-1.0)


class Combined(Intervention):
    """Several interventions, acting one after the other; where two share a site, the second sees the first's result.

    Args:
        parts: The interventions; those that are combined themselves are taken apart.
    """

    def __init__(self, parts: Sequence[Intervention]) -> None:
        self.parts: list[Intervention] = []
        for part in parts:
            self.parts += part.parts if isinstance(part, Combined) else [part]

    @property
    def sites(self) -> list[Site]:
        """The sites of all parts, each once."""
        return list(dict.fromkeys(site for part in self.parts for site in part.sites))

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        """The tensor after every part that acts at the site."""
        for part in self.parts:
            if site in part.sites:
                leaving = part.edit(site, leaving if site.kind == "input" else entering, leaving)
        return leaving

    def prepare(self, model: nn.Module, stack: ExitStack) -> Combined:
        """Prepare every part."""
        return Combined([part.prepare(model, stack) or part for part in self.parts])

    def rows(self, assignment: Sequence[int]) -> Combined:
        """Every part laid out alike."""
        return Combined([part.rows(assignment) for part in self.parts])

    def for_pass(self, rows: ForwardRows) -> Combined:
        """Every part for this pass."""
        return Combined([part.for_pass(rows) for part in self.parts])

    def scaled(self, strength: float | Tensor) -> Combined:
        """Every part at this strength."""
        return Combined([part.scaled(strength) for part in self.parts])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Combined:
        """Every part on this device and in this format."""
        return Combined([part.to(device, dtype) for part in self.parts])


@contextmanager
def applied(model: nn.Module, *interventions: Intervention) -> Iterator[nn.Module]:
    """Change activations inside the block; on any exit remove exactly the hooks that were set here.

    Several interventions act in the order given; where two share a site, the second sees what the first made of it.
    Blocks may be nested. Inside the block a compiled model runs uncompiled, since compiled code would pass over the
    hooks. Under gradient checkpointing the backward pass computes activations again, so it belongs into the block too.

    Args:
        model: The model; its weights, modules and names stay as they are.
        interventions: What to apply.

    Yields:
        The model.

    Raises:
        InputError: If a site names a module that the model does not have.
    """
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        for intervention in interventions:
            acting = intervention.prepare(model, stack) or intervention
            for site in acting.sites:
                stack.callback(_hooked(find_module(model, site.module), site, acting))
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
