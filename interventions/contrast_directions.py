"""Directions that tell two kinds of texts apart in every layer at once, from their hidden states.

Reference: Zou et al., Representation Engineering, 2023 (PCA of paired differences, difference of means, linear probes).
Deviation: differences are not centred before PCA. The release shuffles the sides of its pairs and centres, so that the
mean difference is left in; pairs in one order and no centring are the same without the shuffling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from files.errors import InputError
from interventions.probes import fit_probes

Estimate = Literal["pca", "mean_difference", "probe"]
_TINY = 1e-12


@dataclass(frozen=True)
class Directions:
    """A direction per layer.

    Attributes:
        units: Of length 1, pointing to the positive side (L, D); 0 where the two sides do not differ.
        gaps: Distance of the means of both sides along it (L,).
        accuracy: Share of pairs whose positive side lies further along it (L,).
    """

    units: Tensor
    gaps: Tensor
    accuracy: Tensor

    def steps(self) -> Tensor:
        """The way from the middle of the negative side to that of the positive one, as far as it lies along (L, D)."""
        return self.units * self.gaps.unsqueeze(-1)


def contrast_directions(positive: Tensor, negative: Tensor, estimate: Estimate = "mean_difference") -> Directions:
    """Find the direction of each layer, and turn it to the positive side.

    Args:
        positive: (N, L, D) states of the positive texts.
        negative: (N, L, D) states of the negative ones, pair by pair.
        estimate: The main axis of the paired differences, the difference of means, or a linear probe's weights.

    Returns:
        In float32.

    Raises:
        InputError: A side is empty, the sides differ in number, or states are not finite.

    Example:
        >>> positive = torch.tensor([[[1.0, 5.0]], [[1.0, -5.0]]])
        >>> found = contrast_directions(positive, positive - torch.tensor([2.0, 0.0]), "pca")
        >>> found.units.abs().tolist(), found.gaps.tolist(), found.accuracy.tolist()
        ([[1.0, 0.0]], [2.0], [1.0])
    """
    _check(positive, negative)
    differences = (positive.double() - negative.double()).transpose(0, 1)
    mean = differences.mean(1)
    if estimate == "pca":
        raw = torch.linalg.svd(differences, full_matrices=False).Vh[:, 0]
    elif estimate == "mean_difference":
        raw = mean
    else:
        labels = torch.tensor([[1] * len(positive) + [0] * len(negative)])
        raw = fit_probes(torch.cat([positive, negative]), labels).weights[0].to(mean)
    # The axis of a singular vector has no sign of its own; the labels give it one.
    sign = torch.where((raw * mean).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    length = raw.norm(dim=-1, keepdim=True)
    units = torch.where(length > _TINY, sign * raw / length.clamp(min=_TINY), torch.zeros_like(raw))
    along = torch.einsum("lnd,ld->ln", differences, units)
    return Directions(units.float(), along.mean(1).float(), (along > 0).double().mean(1).float())


def _check(positive: Tensor, negative: Tensor) -> None:
    if positive.dim() != 3 or negative.dim() != 3 or positive.shape[1:] != negative.shape[1:]:
        raise ValueError(
            f"expected states (N, L, D) of both sides, got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    if not len(positive) or not len(negative):
        raise InputError(
            "a side of the contrast is empty",
            expected="texts of both sides",
            got=(len(positive), len(negative)),
            fix="give positive and negative texts",
        )
    if len(positive) != len(negative):
        raise InputError(
            "the sides of the contrast differ in length",
            expected="as many positive texts as negative ones, pair by pair",
            got=(len(positive), len(negative)),
            fix="complete the pairs",
        )
    if not bool(positive.isfinite().all() and negative.isfinite().all()):
        raise InputError(
            "activations are not finite",
            expected="finite numbers",
            got="nan or infinity",
            fix="load the model in float32 or bfloat16, and check its weights",
        )
