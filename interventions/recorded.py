"""Recording of activations while a model runs, reduced as they pass by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from files.errors import InputError
from interventions.applied import Site, entering_tensor, find_module
from interventions.calls import Call, Calls, Phase, Positions, in_backward
from interventions.compiled import uncompiled
from interventions.reductions import NAMED, Reduction, ReductionName, Running
from lm.passes import ForwardRows


class Recording:
    """What is being recorded; `recording[site]` is its reduction so far, also after the recording has ended."""

    def __init__(self, running: dict[Site, Running], calls: Calls, phase: Phase, positions: Positions = "all") -> None:
        self._running = running
        self._calls = calls
        self._phase: Phase = phase
        self._positions: Positions = positions
        self._mask: Tensor | None = None
        self._counted: tuple[Call, Tensor, Tensor] | None = None

    def __getitem__(self, site: Site) -> Any:
        """The reduction at a site.

        Raises:
            KeyError: It was not recorded.
        """
        return self._running[site].result()

    def __iter__(self) -> Iterator[Site]:
        """The recorded sites."""
        return iter(self._running)

    def count(self, mask: Tensor | None) -> None:
        """From the next pass on count these of its tokens only, such as those of the answers.

        Args:
            mask: (B, T) for passes of this shape; None for all that are not padding.
        """
        self._mask = mask

    def take(self, site: Site, hidden: Tensor) -> None:
        """Take in the activations at a site; called by its hook."""
        if in_backward():  # gradient checkpointing computes them again
            return
        call = self._calls.current()
        if self._counted is None or self._counted[0] is not call:
            tokens = self._tokens(call)
            self._counted = call, tokens, tokens.flatten().nonzero().squeeze(1)
        _, counted, chosen = self._counted
        if hidden.dim() == 2:  # some models flatten (B, T) before a layer
            hidden = hidden.view(*counted.shape, -1)
        running, device = self._running[site], hidden.device
        running.add_chosen(hidden.detach(), counted.to(device), call.continues, chosen.to(device))

    def _tokens(self, call: Call) -> Tensor:
        counted = call.selected(self._phase, self._positions) & call.fresh & ~call.finished
        if self._mask is None:
            return counted
        if self._mask.shape != counted.shape:
            raise ValueError(
                f"the pass reads {tuple(counted.shape)} tokens but the mask is for {tuple(self._mask.shape)}"
            )
        return counted & self._mask.to(counted.device).bool()


@contextmanager
def recorded(
    model: nn.Module,
    sites: Iterable[Site],
    reduce: ReductionName | Reduction = "last",
    *,
    phase: Phase = "all",
    positions: Positions = "all",
    known: ForwardRows | None = None,
    stops: Sequence[int] | None = None,
) -> Iterator[Recording]:
    """Record activations inside the block, reduced pass by pass; they themselves are kept only if asked for.

    Padding never counts, on either side; in a generation, neither do the token that ends a row's text and what is
    computed for the row after it, so that a row's record does not depend on its company. Steps of a generation go on
    with the rows of its prompts, with a cache or not; any other pass adds rows. What gradient checkpointing computes
    again is not counted again. (Generation by beams exchanges rows, and cannot be recorded row by row.)

    Entered inside `applied`, it sees what the interventions made of the activations.

    Args:
        model: The model.
        sites: Where to record.
        reduce: What to keep, by name or as a `Reduction`.
        phase: Count tokens of prompts, generated ones, or both.
        positions: Count the last token, at the moment it is read, all but that, or all.
        known: What the caller knows about the rows of its passes.
        stops: Tokens that end a generated text; those the model names if left out.

    Yields:
        The recording.

    Raises:
        InputError: A site names a module that the model does not have, or the reduction has an unknown name.
    """
    if isinstance(reduce, str) and reduce not in NAMED:
        raise InputError("no such reduction", field="reduce", expected=", ".join(NAMED), got=reduce)
    reduction = NAMED[reduce] if isinstance(reduce, str) else reduce
    calls = Calls(known, stops)
    recording = Recording({site: reduction.start() for site in sites}, calls, phase, positions)
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        calls.watch(model, stack)
        for site in recording:
            stack.callback(_listening(find_module(model, site.module), site, recording))
        yield recording


def _listening(module: nn.Module, site: Site, recording: Recording) -> Callable[[], None]:
    """Set the hook of one site; the result removes it."""
    if site.kind == "input":

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            recording.take(site, entering_tensor(args, kwargs))

        return module.register_forward_pre_hook(before, with_kwargs=True).remove

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        recording.take(site, output[0] if isinstance(output, tuple) else output)

    return module.register_forward_hook(after).remove
