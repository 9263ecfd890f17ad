"""Calibration of a classifier: the temperature at which its probabilities say how often it is right."""

from __future__ import annotations

from torch import Tensor

_STEPS = 100
_WIDEST = (1e-2, 1e2)
_FLAT = 1e-12


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which softmax(logits / T) gives the labels the highest likelihood.

    Each class counts once more than it was seen, spread over the rows, so that a classifier that makes no mistake among
    N rows is not taken for one that never makes any. The likelihood is concave in 1 / T, so Newton's steps, kept inside
    a bracket, find its one maximum.

    Args:
        logits: (N, K).
        labels: (N,) the right classes, below K.

    Returns:
        T, between 0.01 and 100.

    Raises:
        ValueError: If shapes do not fit, or there is no row.

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2; the spread targets as in Platt,
        Probabilistic Outputs for Support Vector Machines, 1999.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
        >>> temperature = fit_temperature(logits, torch.tensor([0, 0, 0, 1]))  # 3 + 1 of 4 + 2
        >>> round((logits / temperature).softmax(-1)[0, 0].item(), 4)
        0.6667
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"expected logits (N, K) and labels (N,) but got {tuple(logits.shape)}, {tuple(labels.shape)}")
    scores = logits.detach().double()
    spread = scores.shape[1] / (len(scores) + scores.shape[1])
    named = scores.gather(1, labels[:, None].to(scores.device))[:, 0]
    right = ((1 - spread) * named + spread * scores.mean(-1)).mean()
    low, high = 1 / _WIDEST[1], 1 / _WIDEST[0]
    inverse = 1.0
    for _ in range(_STEPS):
        shares = (inverse * scores).softmax(-1)
        mean = (shares * scores).sum(-1)
        slope = (mean.mean() - right).item()
        curvature = ((shares * scores**2).sum(-1) - mean**2).mean().item()
        if slope == 0 and curvature > _FLAT:
            break
        # Where all rows are right beyond doubt, rounding leaves no slope: the maximum lies further up.
        low, high = (inverse, high) if slope <= 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > _FLAT else (low + high) / 2
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) <= 1e-10 * inverse:
            break
        inverse = following
    return 1 / inverse
