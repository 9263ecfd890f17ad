"""How well scores of people hold together: correlation with other scores, and Cronbach's alpha of a scale."""

import torch
from torch import Tensor


def pearson(scores: Tensor, others: Tensor) -> Tensor:
    """Correlation of two scores over people; nan where one of them is the same for everybody.

    Args:
        scores: (..., P) one score per person.
        others: (..., P) another one.

    Returns:
        (...) from -1 to 1.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> round(float(pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0]))), 6)
        1.0
        >>> pearson(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([2.0, 4.0, 6.0]))
        tensor(nan, dtype=torch.float64)
    """
    if scores.shape != others.shape:
        raise ValueError(f"`others` expected shape {tuple(scores.shape)} but got {tuple(others.shape)}")
    gaps = [part.double() - part.double().mean(-1, keepdim=True) for part in (scores, others)]
    sizes = [gap.square().mean(-1).sqrt() for gap in gaps]
    # Equal scores leave gaps of rounding size, whose quotient would mean nothing.
    varies = (sizes[0] > _rounding(scores)) & (sizes[1] > _rounding(others))
    value = (gaps[0] * gaps[1]).mean(-1) / (sizes[0] * sizes[1])
    return torch.where(varies, value, torch.nan)


def cronbach_alpha(scores: Tensor) -> Tensor:
    """Do the items of a scale measure one thing? 1 if they rank people alike, 0 if they are unrelated.

    Args:
        scores: (..., P, K) keyed scores of P people on K items, at least two of each.

    Returns:
        (...) at most 1; nan where the people do not differ.

    Raises:
        ValueError: If there are fewer people or items.

    Reference:
        Cronbach, Coefficient alpha and the internal structure of tests, 1951.

    Example:
        >>> cronbach_alpha(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        tensor(1., dtype=torch.float64)
    """
    if scores.ndim < 2 or scores.shape[-1] < 2 or scores.shape[-2] < 2:
        raise ValueError(f"`scores` expected at least two people and two items but got {tuple(scores.shape)}")
    scores = scores.double()
    items = scores.shape[-1]
    total = scores.sum(-1)
    spread = total.var(-1)
    value = items / (items - 1) * (1 - scores.var(-2).sum(-1) / spread)
    return torch.where(spread.sqrt() > _rounding(total), value, torch.nan)


def _rounding(scores: Tensor) -> Tensor:
    """What rounding alone makes of equal scores."""
    return 1e-9 * (1 + scores.double().abs().amax(-1))
