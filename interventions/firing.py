"""How often neurons fire and how their activations are spread, counted while a model runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interventions.reductions import Reduction, Running

# Values that wait at one site until they are counted together: fewer, larger steps are faster than many small ones.
_WAITING = 2**20


@dataclass(frozen=True)
class Activity:
    """What neurons did.

    Attributes:
        counts: Tokens at which each activation exceeds 0 (W,), or (L, W) for all layers.
        histogram: Values of each activation by bin (W, bins), or (L, W, bins).
        tokens: Tokens counted.
    """

    counts: Tensor
    histogram: Tensor
    tokens: int


@dataclass(frozen=True)
class FiringHistogram(Reduction):
    """How many counted tokens each activation exceeds 0 at, and its histogram.

    Bin b counts values above `edges[b]` and up to `edges[b + 1]`; what lies outside of all bins is not counted, nor is
    what is not a number. Both are kept where the activations are computed.

    Attributes:
        edges: The rising edges of the bins, one more than there are bins; they may be infinite.
    """

    edges: Tensor | Sequence[float]

    def start(self) -> Running:
        """Begin anew.

        Raises:
            ValueError: The edges do not rise, or are fewer than two.
        """
        edges = torch.as_tensor(self.edges, dtype=torch.float32)
        if edges.dim() != 1 or len(edges) < 2 or not bool((edges[1:] > edges[:-1]).all()):
            raise ValueError("expected at least two edges, each above the one before")
        return _Activities(edges)


def percentile_edges(top: float = 3.0, width: float = 0.01) -> Tensor:
    """Edges of the bins that percentiles are read from: -inf, 0, then every `width` up to `top`, which is inf.

    Args:
        top: Above the last bin but one.
        width: Of a bin.

    Returns:
        With the default values 302 edges of 301 bins.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024 (as released).

    Example:
        >>> percentile_edges(0.04)
        tensor([  -inf, 0.0000, 0.0100, 0.0200, 0.0300,    inf])
    """
    numbers = torch.arange(math.floor(top / width + 0.5), dtype=torch.float64)
    # Not the nearest floats: the published edges were made eight at a time, each from the rounded first one of its
    # eight. Worked out by hand, since `torch.arange` rounds differently from processor to processor.
    first = ((numbers // 8) * 8 * width).float().double()
    ends = torch.tensor([math.inf])
    return torch.cat([-ends, (first + (numbers % 8) * width).float(), ends])


class _Activities(Running):
    """Collects values until there are many, then counts them."""

    def __init__(self, edges: Tensor) -> None:
        self._edges = edges
        self._bins = len(edges) - 1
        self._counts: Tensor | None = None
        self._histogram: Tensor | None = None
        self._waiting: Tensor | None = None
        self._filled = 0
        self._tokens = 0

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        self.add_chosen(hidden, counted, continues, counted.flatten().nonzero().squeeze(1))

    def add_chosen(self, hidden: Tensor, counted: Tensor, continues: bool, chosen: Tensor) -> None:
        if not len(chosen):
            return
        self._tokens += len(chosen)
        values = hidden.flatten(0, 1)
        if len(chosen) < len(values):
            values = values.index_select(0, chosen)
        while len(values):
            waiting = self._room(values)
            taken = min(len(values), len(waiting) - self._filled)
            # Copied: what the model computed is its own, and may be overwritten by it.
            waiting[self._filled : self._filled + taken] = values[:taken]
            self._filled += taken
            values = values[taken:]
            if self._filled == len(waiting):
                self._count()

    def result(self) -> Activity:
        self._count()
        if self._counts is None or self._histogram is None:
            return Activity(torch.empty(0), torch.empty(0, self._bins), 0)
        return Activity(self._counts, self._histogram.view(-1, self._bins), self._tokens)

    def _room(self, values: Tensor) -> Tensor:
        """Where values wait; (N, W)."""
        if self._waiting is None:
            width = values.shape[1]
            self._waiting = values.new_empty(max(1, _WAITING // width), width)
            self._counts = torch.zeros(width, dtype=torch.int32, device=values.device)
            self._histogram = torch.zeros(width * self._bins, dtype=torch.int32, device=values.device)
            self._edges = self._edges.to(values.device)
        return self._waiting

    def _count(self) -> None:
        """Count what waits."""
        if not self._filled or self._waiting is None or self._counts is None or self._histogram is None:
            return
        values = self._waiting[: self._filled].float()
        self._filled = 0
        self._counts += (values > 0).sum(0, dtype=torch.int32)
        bins = torch.bucketize(values, self._edges, out_int32=True) - 1
        # Not a number sorts above every edge, so it lies outside too.
        bins += torch.arange(values.shape[1], dtype=torch.int32, device=values.device) * self._bins
        inside = (values > self._edges[0]) & (values <= self._edges[-1])
        places = bins.flatten() if bool(inside.all()) else bins[inside]
        self._histogram += torch.bincount(places, minlength=len(self._histogram)).to(torch.int32)
