"""Spearman's rank correlation, of many samples at once."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.reliability import pearson


def rank_correlation(pairs: Tensor) -> Tensor:
    """Do two scores put rows into one order? Ties get the mean of their ranks.

    Args:
        pairs: (..., N, 2) two scores of each row.

    Returns:
        (...) from -1 to 1; nan where one of the scores is the same in all rows.

    Reference:
        Spearman, The Proof and Measurement of Association between Two Things, 1904.

    Example:
        >>> round(rank_correlation(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 1000.0]])).item(), 6)
        1.0
    """
    ranks = _ranks(pairs.double().movedim(-1, 0))
    return pearson(ranks[0], ranks[1])


def _ranks(scores: Tensor) -> Tensor:
    """Mean rank of each row (..., N), from sorting: the place of the first equal one and of the last."""
    scores = scores.contiguous()
    ordered = scores.sort(-1).values
    first = torch.searchsorted(ordered, scores, right=False)
    last = torch.searchsorted(ordered, scores, right=True)
    return (first + last).double() / 2
