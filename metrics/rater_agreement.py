"""Do repeated ratings of the same texts agree?"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def rating_agreement(ratings: Tensor, low: int, high: int) -> float | None:
    """Cohen's kappa with quadratic weights between every two rounds of ratings, averaged over the pairs of rounds.

    Args:
        ratings: (I, K) whole numbers, one for each item in each round, nan where there is none.
        low: Least rating.
        high: Highest rating.

    Returns:
        1 where all rounds agree, 0 where they agree as chance would have it; None where it is not defined: with one
        round, without items rated twice, or where all ratings are the same.

    Reference:
        Cohen, Weighted Kappa, 1968; computed by scikit-learn.

    Example:
        >>> rating_agreement(torch.tensor([[1.0, 1.0], [3.0, 3.0], [5.0, 5.0]]), 1, 5)
        1.0
        >>> rating_agreement(torch.tensor([[3.0, 3.0], [3.0, 3.0]]), 1, 5) is None
        True
    """
    from sklearn.metrics import cohen_kappa_score

    labels = list(range(low, high + 1))
    found = []
    for one, other in combinations(ratings.unbind(-1), 2):
        both = ~(one.isnan() | other.isnan())
        pair = torch.stack([one[both], other[both]]).long()
        if pair.unique().numel() > 1:
            found.append(float(cohen_kappa_score(*pair.numpy(), labels=labels, weights="quadratic")))
    return sum(found) / len(found) if found else None
