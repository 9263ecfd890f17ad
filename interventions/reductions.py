"""What is kept of activations while they pass by: last tokens, means, histograms, firing counts, or everything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

ReductionName = Literal["last", "mean", "firing", "all"]


class Running(ABC):
    """A reduction under way at one site."""

    @abstractmethod
    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        """Take in one pass.

        Args:
            hidden: (B, T, W) activations, without gradients.
            counted: (B, T) the tokens that count.
            continues: Whether the rows are those of the pass before, further on.
        """

    def add_chosen(self, hidden: Tensor, counted: Tensor, continues: bool, chosen: Tensor) -> None:  # noqa: ARG002
        """Take in one pass whose counted tokens are known by number too, so that no site has to look for them again.

        Args:
            hidden: As in `add`.
            counted: Likewise.
            continues: Likewise.
            chosen: (K,) the numbers of the tokens that count, row after row.
        """
        self.add(hidden, counted, continues)

    @abstractmethod
    def result(self) -> Any:
        """What was kept so far."""


class Reduction(ABC):
    """A way of keeping little of many activations."""

    @abstractmethod
    def start(self) -> Running:
        """Begin anew, for one site."""


@dataclass(frozen=True)
class LastToken(Reduction):
    """The activation at the last counted token of each row (N, W); nan for a row without any.

    Attributes:
        device: Where the results are kept; where they were computed if left out.
        dtype: Their number format; that of the activations if left out.
    """

    device: torch.device | str | None = None
    dtype: torch.dtype | None = None

    def start(self) -> Running:
        """Begin anew."""
        return _LastTokens(self)


@dataclass(frozen=True)
class MeanOverTokens(Reduction):
    """The mean over the counted tokens of each row (N, W) in float32; nan for a row without any.

    Attributes:
        per_row: Whether each row has a mean of its own; otherwise one mean over all tokens of all rows (W,).
    """

    per_row: bool = True

    def start(self) -> Running:
        """Begin anew."""
        return _Means(self.per_row)


@dataclass(frozen=True)
class FiringCounts(Reduction):
    """How many counted tokens each activation exceeds a threshold at.

    Attributes:
        threshold: The threshold.
    """

    threshold: float = 0.0

    def start(self) -> Running:
        """Begin anew."""
        return _Firings(self.threshold)


@dataclass(frozen=True)
class Histogram(Reduction):
    """A histogram of each activation over the counted tokens (W, bins), whole numbers.

    Bin b counts values above `edges[b]` and up to `edges[b + 1]`; what lies outside of all bins is not counted.

    Attributes:
        edges: The rising edges of the bins, one more than there are bins; they may be infinite.
    """

    edges: Tensor | Sequence[float]

    def start(self) -> Running:
        """Begin anew.

        Raises:
            ValueError: The edges do not rise, or are fewer than two.
        """
        return _Histograms(rising_edges(self.edges))


@dataclass(frozen=True)
class AllTokens(Reduction):
    """Everything: for each row the activations at its counted tokens (T, W). Memory grows with every token.

    Attributes:
        device: Where they are kept; where they were computed if left out.
    """

    device: torch.device | str | None = None

    def start(self) -> Running:
        """Begin anew."""
        return _Everything(self.device)


@dataclass(frozen=True)
class Firings:
    """Result of `FiringCounts`.

    Attributes:
        counts: Tokens at which each activation exceeds the threshold (W,).
        tokens: Tokens counted.
    """

    counts: Tensor
    tokens: int


NAMED: dict[ReductionName, Reduction] = {
    "last": LastToken(),
    "mean": MeanOverTokens(),
    "firing": FiringCounts(),
    "all": AllTokens(),
}


class _LastTokens(Running):
    def __init__(self, spec: LastToken) -> None:
        self._spec = spec
        self._rows: list[Tensor] = []

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        places = torch.arange(1, counted.shape[1] + 1, device=counted.device)
        last = (counted * places).amax(1) - 1  # -1 where a row has no token that counts
        rows = hidden[torch.arange(len(hidden), device=hidden.device), last.clamp(min=0)]
        found = (last >= 0).unsqueeze(1)
        # A recording that begins on a filled cache has no rows yet to go on with.
        before = self._rows.pop() if continues and self._rows else None
        if before is not None:
            rows = torch.where(found, rows, before.to(rows))
        else:
            rows = torch.where(found, rows, torch.full_like(rows, torch.nan))
        self._rows.append(rows.to(self._spec.device, self._spec.dtype))

    def result(self) -> Tensor:
        return torch.cat(self._rows) if self._rows else torch.empty(0)


class _Means(Running):
    def __init__(self, per_row: bool) -> None:
        self._per_row = per_row
        self._sums: list[Tensor] = []
        self._counts: list[Tensor] = []

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        # Summed by `where` and not by a product, since what stands at padding may be nan.
        sums = torch.where(counted.unsqueeze(-1), hidden, torch.zeros_like(hidden)).sum(1, dtype=torch.float32)
        counts = counted.sum(1, keepdim=True)
        if not self._per_row:
            sums, counts = sums.sum(0, keepdim=True), counts.sum(0, keepdim=True)
        if self._sums and (continues or not self._per_row):
            self._sums[-1] = self._sums[-1] + sums
            self._counts[-1] = self._counts[-1] + counts
        else:
            self._sums.append(sums)
            self._counts.append(counts)

    def result(self) -> Tensor:
        if not self._sums:
            return torch.empty(0)
        means = torch.cat(self._sums) / torch.cat(self._counts)
        return means if self._per_row else means.squeeze(0)


class _Firings(Running):
    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._counts: Tensor | None = None
        self._tokens = 0

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        self.add_chosen(hidden, counted, continues, counted.flatten().nonzero().squeeze(1))

    def add_chosen(self, hidden: Tensor, counted: Tensor, continues: bool, chosen: Tensor) -> None:
        fired = (hidden.flatten(0, 1).index_select(0, chosen) > self._threshold).sum(0)
        self._counts = fired if self._counts is None else self._counts + fired
        self._tokens += len(chosen)

    def result(self) -> Firings:
        return Firings(torch.empty(0) if self._counts is None else self._counts, self._tokens)


class _Histograms(Running):
    def __init__(self, edges: Tensor) -> None:
        self._edges = edges
        self._bins = len(edges) - 1
        self._counts: Tensor | None = None

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        self.add_chosen(hidden, counted, continues, counted.flatten().nonzero().squeeze(1))

    def add_chosen(self, hidden: Tensor, counted: Tensor, continues: bool, chosen: Tensor) -> None:
        values = hidden.flatten(0, 1).index_select(0, chosen).float()
        width = values.shape[1]
        if self._counts is None:
            self._edges = self._edges.to(values.device)
            self._counts = torch.zeros(width * self._bins, dtype=torch.int32, device=values.device)
        bins = torch.bucketize(values, self._edges) - 1
        inside = (bins >= 0) & (bins < self._bins)
        places = bins + torch.arange(width, device=values.device) * self._bins
        chosen = places[inside]
        self._counts.index_add_(0, chosen, torch.ones_like(chosen, dtype=torch.int32))

    def result(self) -> Tensor:
        return torch.empty(0, self._bins) if self._counts is None else self._counts.view(-1, self._bins)


class _Everything(Running):
    def __init__(self, device: torch.device | str | None) -> None:
        self._device = device
        self._rows: list[list[Tensor]] = []
        self._last = 0

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        if not continues:
            self._last = len(hidden)
            self._rows += [[] for _ in range(self._last)]
        for row, values, mask in zip(self._rows[-self._last :], hidden, counted, strict=True):
            row.append(values[mask].to(self._device))

    def result(self) -> list[Tensor]:
        return [torch.cat(parts) for parts in self._rows]


def rising_edges(edges: Tensor | Sequence[float]) -> Tensor:
    """The edges of bins as a tensor (bins + 1,).

    Raises:
        ValueError: They do not rise, or are fewer than two.

    >>> rising_edges([0, 0.5, 1])
    tensor([0.0000, 0.5000, 1.0000])
    """
    rising = torch.as_tensor(edges, dtype=torch.float32)
    if rising.dim() != 1 or len(rising) < 2 or not bool((rising[1:] > rising[:-1]).all()):
        raise ValueError("expected at least two edges, each above the one before")
    return rising
