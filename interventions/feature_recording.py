"""What the features of a sparse autoencoder do in texts, and which of them tell two kinds of texts apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from interventions.autoencoder import SparseAutoencoder
from interventions.reductions import Reduction, Running

_COMPARISONS_AT_ONCE = 2**24


@dataclass(frozen=True)
class MeanFeatures(Reduction):
    """The mean of each feature over the counted tokens of each row (N, F), in float32 on the CPU.

    Attributes:
        network: The autoencoder; what is recorded must be what it encodes.
    """

    network: SparseAutoencoder

    def start(self) -> Running:
        """Begin anew."""
        return _Means(self.network)


class _Means(Running):
    def __init__(self, network: SparseAutoencoder) -> None:
        self._network = network
        self._sums: list[Tensor] = []
        self._counts: list[Tensor] = []

    def add(self, hidden: Tensor, counted: Tensor, continues: bool) -> None:
        row = torch.arange(len(hidden), device=hidden.device).unsqueeze(1).expand_as(counted)[counted]
        with torch.no_grad():
            features = self._network.encode(hidden[counted].to(self._network.decoder))
        sums = features.new_zeros(len(hidden), features.shape[1]).index_add_(0, row, features).cpu()
        counts = counted.sum(1, keepdim=True).cpu()
        if continues and self._sums:
            self._sums[-1] = self._sums[-1] + sums
            self._counts[-1] = self._counts[-1] + counts
        else:
            self._sums.append(sums)
            self._counts.append(counts)

    def result(self) -> Tensor:
        return torch.cat(self._sums) / torch.cat(self._counts) if self._sums else torch.empty(0)


def separation(high: Tensor, low: Tensor) -> Tensor:
    """Area under the ROC curve of every feature: the chance that it is larger in a high text than in a low one.

    Args:
        high: (..., N, F) features of texts of one kind.
        low: (..., M, F) of the other kind.

    Returns:
        (..., F) from 0 to 1; a half where a feature tells nothing. Ties count half.

    Example:
        >>> separation(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        tensor([0.8750, 0.5000])
    """
    pairs = high.shape[:-1].numel() * low.shape[-2]
    at_once = max(1, _COMPARISONS_AT_ONCE // max(1, pairs))
    parts = []
    for some_high, some_low in zip(high.split(at_once, dim=-1), low.split(at_once, dim=-1), strict=True):
        difference = some_high.unsqueeze(-2) - some_low.unsqueeze(-3)
        wins = (difference > 0).float() + 0.5 * (difference == 0).float()
        parts.append(wins.flatten(-3, -2).mean(-2))
    return torch.cat(parts, dim=-1)
