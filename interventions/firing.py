"""How often neurons fire and how their activations are spread, counted while a model runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interventions.reductions import Reduction, Running, rising_edges

# Values that wait at one site until they are counted together: fewer, larger steps are faster than many small ones.
_WAITING = 2**20
_AT_ONCE = 2**16


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
        return _Activities(rising_edges(self.edges))


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
        self._bins = _Bins(edges)
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
        bins = self._bins.places - 2
        if self._counts is None or self._histogram is None:
            return Activity(torch.empty(0), torch.empty(0, bins), 0)
        histogram = self._histogram.view(-1, self._bins.places)[:, 1:-1].contiguous()
        return Activity(self._counts.clone(), histogram, self._tokens)

    def _room(self, values: Tensor) -> Tensor:
        """Where values wait; (N, W)."""
        if self._waiting is None:
            width, device = values.shape[1], values.device
            self._waiting = values.new_empty(max(1, _WAITING // width), width)
            self._counts = torch.zeros(width, dtype=torch.int32, device=device)
            self._histogram = torch.zeros(width * self._bins.places, dtype=torch.int32, device=device)
            self._bins = self._bins.to(device)
        return self._waiting

    def _count(self) -> None:
        """Count what waits."""
        if not self._filled or self._waiting is None or self._counts is None or self._histogram is None:
            return
        width = self._waiting.shape[1]
        begins = torch.arange(width, dtype=torch.int32, device=self._waiting.device) * self._bins.places
        # On a processor in parts that stay in its cache; an accelerator takes all of it at once.
        rows = max(1, _AT_ONCE // width) if self._waiting.device.type == "cpu" else self._filled
        for part in self._waiting[: self._filled].split(rows):
            values = part.float()
            self._counts += (values > 0).sum(0, dtype=torch.int32)
            places = self._bins.below(values).add_(begins).flatten()
            self._histogram.index_add_(0, places, torch.ones_like(places))
        self._filled = 0


class _Bins:
    """Finds the bins of many values.

    Evenly spaced edges are guessed by a division, and the guess is set right by the edges themselves, which is several
    times faster than a search.

    Args:
        edges: (E,) rising; the first and the last may be infinite.

    Attributes:
        places: Number of places that a value may have, E + 1: below the edges, E - 1 bins, and above or nowhere.
    """

    def __init__(self, edges: Tensor) -> None:
        self.places = len(edges) + 1
        self._edges = edges
        nowhere = torch.tensor([math.nan])  # compares as false with everything
        self._lower, self._upper = torch.cat([nowhere, edges]), torch.cat([edges, nowhere])
        inner = edges[edges.isfinite()]
        self._lead = int(edges[0].isneginf())
        self._inner = len(inner)
        self._first, self._width = 0.0, 0.0
        if self._inner > 1:
            width = float(inner[-1] - inner[0]) / (self._inner - 1)
            even = inner[0] + torch.arange(self._inner) * width
            if bool(((inner - even).abs() < width / 4).all()):
                self._first, self._width = float(inner[0]), width

    def to(self, device: torch.device) -> _Bins:
        """The same on a device."""
        moved = copy.copy(self)
        moved._edges, moved._lower, moved._upper = (x.to(device) for x in (self._edges, self._lower, self._upper))
        return moved

    def below(self, values: Tensor) -> Tensor:
        """How many edges lie below each value, in int32; all of them for what is not a number.

        Example:
            >>> _Bins(torch.tensor([0.0, 1.0, 2.0, 3.0])).below(torch.tensor([0.0, 0.5, 1.0, 9.0, torch.nan]))
            tensor([0, 1, 1, 4, 4], dtype=torch.int32)
        """
        if not self._width:
            found = torch.bucketize(values, self._edges, out_int32=True)
            return torch.where(values.isnan(), self.places - 1, found)
        guess = ((values - self._first) / self._width).ceil_().clamp_(0, self._inner)
        guess = guess.add_(self._lead).nan_to_num_(nan=self.places - 1).to(torch.int32)
        flat = guess.flatten()
        guess -= (values <= self._lower.index_select(0, flat).view_as(values)).to(torch.int32)
        flat = guess.flatten()
        guess += (values > self._upper.index_select(0, flat).view_as(values)).to(torch.int32)
        return guess
