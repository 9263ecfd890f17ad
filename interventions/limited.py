"""Interventions that act on some tokens only: on prompts or answers, on the last token or on all before it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from interventions.applied import Intervention, Site
from interventions.calls import Call, Calls, Phase, Positions
from lm.passes import ForwardRows


class Limited(Intervention):
    """An intervention of any kind that acts on some tokens only; padding is left alone.

    A generated token, or one of an answer that is scored, is the last one at the moment it is read, and so is the last
    token of the prompt. `last` means these; `all_but_last` is the prompt without its last token.

    Put on a model as it is, a pass on an empty cache reads prompts and later ones read generated tokens. `for_pass`
    tells it about prompts that are computed in parts, and about answers that are given.

    Args:
        intervention: What to do.
        phase: On prompts, on generated tokens, or on both.
        positions: On the last token, on all but the last one, or on all.
        known: What the caller knows about the rows of a pass.
    """

    def __init__(
        self,
        intervention: Intervention,
        *,
        phase: Phase = "all",
        positions: Positions = "all",
        known: ForwardRows | None = None,
    ) -> None:
        self.intervention = intervention
        self.phase = phase
        self.positions = positions
        self._known = known

    @property
    def sites(self) -> Sequence[Site]:
        """Those of the intervention."""
        return self.intervention.sites

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        """Not to be called: only on a model is it known which tokens are which.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{type(self).__name__} acts only through `applied`, which tells it about the tokens")

    def prepare(self, model: nn.Module, stack: ExitStack) -> Intervention:
        """What acts on this model: the intervention, and a watcher of the model's passes."""
        calls = Calls(self._known)
        calls.watch(model, stack)
        return _Acting(self.intervention.prepare(model, stack) or self.intervention, calls, self.phase, self.positions)

    def rows(self, assignment: Sequence[int]) -> Limited:
        """The intervention laid out over the rows of a batch."""
        return self._with(self.intervention.rows(assignment))

    def for_pass(self, rows: ForwardRows) -> Limited:
        """The intervention for one pass whose prompts and answers are known."""
        inner = self.intervention.for_pass(rows)
        return Limited(inner, phase=self.phase, positions=self.positions, known=rows)

    def scaled(self, strength: float | Tensor) -> Limited:
        """The intervention at another strength."""
        return self._with(self.intervention.scaled(strength))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Limited:
        """The intervention on another device or in another format."""
        return self._with(self.intervention.to(device, dtype))

    def _with(self, intervention: Intervention) -> Limited:
        return Limited(intervention, phase=self.phase, positions=self.positions, known=self._known)


class _Acting(Intervention):
    """A limited intervention on one model."""

    def __init__(self, intervention: Intervention, calls: Calls, phase: Phase, positions: Positions) -> None:
        self._intervention = intervention
        self._calls = calls
        self._phase: Phase = phase
        self._positions: Positions = positions
        self._selection: tuple[Call, Tensor, int] | None = None

    @property
    def sites(self) -> Sequence[Site]:
        return self._intervention.sites

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        call = self._calls.current()
        if self._selection is None or self._selection[0] is not call:
            tokens = call.selected(self._phase, self._positions)
            self._selection = call, tokens, int(tokens.sum())
        _, tokens, count = self._selection
        if not count:
            return leaving
        edited = self._intervention.edit(site, entering, leaving)
        if count == tokens.numel():
            return edited
        chosen = tokens.to(leaving.device)
        if leaving.dim() == 2:  # some models flatten (B, T) before a layer
            chosen = chosen.flatten()
        return torch.where(chosen.unsqueeze(-1), edited, leaving)
