"""What the transform made of a gradient, read off the factors without ever forming a full matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class UpdateComparison(NamedTuple):
    """A gradient and the update made from it, as matrices; scalars in float64.

    Attributes:
        true_mag: Norm of the gradient.
        pseudo_mag: Norm of the update, before its learning rate.
        true_std: Standard deviation of the gradient's entries (n - 1).
        pseudo_std: Of the update's.
        diff: Norm of their difference.
        cos: Cosine between them.
    """

    true_mag: Tensor
    pseudo_mag: Tensor
    true_std: Tensor
    pseudo_std: Tensor
    diff: Tensor
    cos: Tensor


@torch.no_grad()
def compare_update(true_u: Tensor, true_v: Tensor, pseudo_u: Tensor, pseudo_v: Tensor) -> UpdateComparison:
    """Compare the matrices `v^T u` of two pairs of factors.

    Args:
        true_u: (T, in) factors of the gradient.
        true_v: (T, out).
        pseudo_u: (K, in) factors of the update.
        pseudo_v: (K, out).

    Example:
        >>> u, v = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> result = compare_update(u, v, u, 2 * v)
        >>> round(result.true_mag.item(), 4), round(result.diff.item(), 4), round(result.cos.item(), 4)
        (2.2361, 2.2361, 1.0)
    """
    true_u, true_v, pseudo_u, pseudo_v = (t.double() for t in (true_u, true_v, pseudo_u, pseudo_v))
    true_square, pseudo_square = _inner(true_u, true_v, true_u, true_v), _inner(pseudo_u, pseudo_v, pseudo_u, pseudo_v)
    product = _inner(true_u, true_v, pseudo_u, pseudo_v)
    entries = true_u.shape[1] * true_v.shape[1]
    return UpdateComparison(
        true_square.sqrt(),
        pseudo_square.sqrt(),
        _std(true_u, true_v, true_square, entries),
        _std(pseudo_u, pseudo_v, pseudo_square, entries),
        (true_square + pseudo_square - 2 * product).clamp(min=0).sqrt(),
        product / (true_square * pseudo_square).sqrt(),
    )


def _inner(u: Tensor, v: Tensor, other_u: Tensor, other_v: Tensor) -> Tensor:
    """Inner product of two matrices given by factors."""
    return ((u @ other_u.T) * (v @ other_v.T)).sum()


def _std(u: Tensor, v: Tensor, square: Tensor, entries: int) -> Tensor:
    total = (u.sum(1) * v.sum(1)).sum()
    return ((square - total.square() / entries).clamp(min=0) / (entries - 1)).sqrt()
