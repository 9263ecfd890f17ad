"""Directions of attention heads that tell two kinds of samples apart, for many people at once.

Reference: zhu-minjun/PAlign, `PAlign/pas.py` (personality activation search): difference of class means by head, scaled
by the spread of all samples along it, added to the head's output through the output projection.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_NUMBERS_AT_ONCE = 2**22
_ROUNDING = 1e-12


def mean_difference(features: Tensor, labels: Tensor, used: Tensor | None = None) -> Tensor:
    """Mean of the samples labelled 1 minus mean of those labelled 0, for each person and group of features.

    >>> mean_difference(torch.tensor([[[1.0]], [[3.0]], [[8.0]]]), torch.tensor([[1, 1, 0], [1, 0, 0]])).flatten()
    tensor([-6.0000, -4.5000])

    Args:
        features: (N, G, D) of samples that all people share, such as G heads of width D.
        labels: (P, N) of each person, 1 or 0.
        used: (P, N) the samples that count for a person; all of them where it is left out.

    Returns:
        (P, G, D) in float32; nan for a person without samples of one kind.
    """
    counted = torch.ones_like(labels, dtype=torch.bool) if used is None else used.bool()
    shares = []
    for kind in (1, 0):
        weights = (counted & (labels == kind)).double()
        shares.append(weights / weights.sum(1, keepdim=True))
    share = (shares[0] - shares[1]).to(features.device)
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, len(features) * features.shape[2]))
    return torch.cat([_difference(share, part.double()) for part in features.split(at_once, dim=1)], dim=1)


def _difference(share: Tensor, features: Tensor) -> Tensor:
    """Samples (N, g, D) weighted by each person's shares (P, N), as (P, g, D) in float32."""
    # Around the overall mean, which the difference does not depend on, nothing is lost where features have an offset.
    centred = features - features.mean(0)
    difference = (share @ centred.flatten(1)).unflatten(1, features.shape[1:])
    # Samples that do not differ leave rounding errors, which must not be taken for a direction.
    noise = _ROUNDING * features.abs().amax((0, 2)).unsqueeze(-1)
    negligible = difference.norm(dim=-1, keepdim=True) <= noise
    return torch.where(negligible, torch.zeros_like(difference), difference).float()


def unit_directions(directions: Tensor, *, as_released: bool = False) -> Tensor:
    """Directions (..., D) of length 1.

    >>> unit_directions(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])

    Args:
        directions: Any number of them.
        as_released: Give nan for a direction of length 0, as the release does.

    Deviation: a direction of length 0 stays 0. The release divides by its length, and one head whose samples do not
        differ turns the bias of its whole layer into nan.
    """
    lengths = directions.norm(dim=-1, keepdim=True)
    return directions / (lengths if as_released else torch.where(lengths == 0, torch.ones_like(lengths), lengths))


def projection_std(features: Tensor, units: Tensor, used: Tensor | None = None) -> Tensor:
    """Standard deviation (divided by n) of the samples along each person's directions, over both kinds of samples.

    >>> projection_std(torch.tensor([[[1.0, 0.0]], [[3.0, 9.0]]]), torch.tensor([[[1.0, 0.0]]]))
    tensor([[1.]])

    Args:
        features: (N, G, D).
        units: (P, G, D).
        used: (P, N) the samples that count for a person; all of them where it is left out.

    Returns:
        (P, G) in float32.
    """
    along = torch.einsum("ngd,pgd->pgn", features.float(), units.float())
    if used is None:
        return along.std(-1, correction=0)
    weights = used.to(along).unsqueeze(1)
    count = weights.sum(-1, keepdim=True)
    centred = along - (along * weights).sum(-1, keepdim=True) / count
    return ((centred.square() * weights).sum(-1) / count.squeeze(-1)).sqrt()


def by_layer(heads: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Chosen heads in the order in which the release goes through them.

    >>> by_layer([(2, 3), (0, 1), (2, 0)])
    [(2, 0), (2, 3), (0, 1)]

    Args:
        heads: Layer and head of each, best first.

    Returns:
        Layers in the order of their first appearance, heads rising inside a layer.
    """
    order = list(dict.fromkeys(layer for layer, _ in heads))
    return sorted(heads, key=lambda head: (order.index(head[0]), head[1]))


def head_bias(weight: Tensor, shift: Tensor, *, as_released: bool = False) -> Tensor:
    """What a shift of heads adds to the output of the attention.

    >>> head_bias(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]]))
    tensor([3., 1.])

    Args:
        weight: (D, H * head_dim) of the output projection, as in a linear layer.
        shift: (H, head_dim), zeros for heads that stay as they are.
        as_released: Round both to float16 before the product, as the release does.

    Returns:
        (D,), in float16 as released and in the weight's format otherwise.

    Deviation: the release keeps this product as the projection's bias; ours shifts the heads themselves, which is the
        same up to rounding and may differ from row to row of a batch.
    """
    if as_released:
        return weight.half() @ shift.flatten().half()
    return weight @ shift.flatten().to(weight)
