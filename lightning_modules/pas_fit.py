"""Where and along which direction a person shows in a model's attention heads, for many people at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interventions.head_directions import mean_difference, projection_std, unit_directions
from interventions.probes import best_heads, fit_probes, held_back
from personas.questionnaire import MISSING, Item
from personas.traits import BIG_FIVE

NEUTRAL = 3
CHANCE = (0.5, math.log(2))
"""Accuracy and log loss of a probe that knows nothing."""


@dataclass(frozen=True)
class HeadSettings:
    """How heads and directions are found.

    Attributes:
        heads: Number of heads to shift.
        direction: Difference of class means, or the probe's own weights.
        c: Weight of the losses against the penalty in the probes.
        ranking: By accuracy on held-back items; or as released, by the mean of the accuracies on a random part of the
            samples and on the rest, which the probe was fitted on.
        seed: Seed of that random part.
    """

    heads: int = 24
    direction: Literal["mean_difference", "probe"] = "mean_difference"
    c: float = 1.0
    ranking: Literal["held_back", "as_released"] = "held_back"
    seed: int = 0


@dataclass(frozen=True)
class HeadShifts:
    """The shift of a few heads for each of R rows, such as people.

    Attributes:
        heads: (R, k, 2) layer and head, best first.
        vectors: (R, k, head_dim) direction of length 1 times the spread of the samples along it; zeros for a row that
            nothing is known of.
        accuracy: (R, k) of the heads' probes.
    """

    heads: Tensor
    vectors: Tensor
    accuracy: Tensor


def statement_labels(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Which statements a person would make: each item with an agreeing answer, then with a disagreeing one.

    Args:
        answers: (P, I) from 1 to 5, 0 for a missing one.

    Returns:
        Labels (P, 2 I), 1 where the person would say so, and whether they count: items without an answer, or with the
        one in the middle, do not.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (labels of the probes).

    Example:
        >>> statement_labels(torch.tensor([[5, 2, 3, 0]]))
        (tensor([[1, 0, 0, 1, 0, 1, 0, 1]]), tensor([[ True,  True,  True,  True, False, False, False, False]]))
    """
    agrees = answers > NEUTRAL
    counts = (answers != NEUTRAL) & (answers != MISSING)
    labels = torch.stack([agrees, ~agrees], -1).long().flatten(1)
    return labels, counts.repeat_interleave(2, dim=1)


def agreement_labels(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Which items a person agrees with.

    Args:
        answers: (P, I) from 1 to 5, 0 for a missing one.

    Returns:
        Labels (P, I), 1 where the person agrees, and whether they count: answers in the middle do not.

    Example:
        >>> agreement_labels(torch.tensor([[5, 2, 3, 0]]))
        (tensor([[1, 0, 0, 0]]), tensor([[ True,  True, False, False]]))
    """
    return (answers > NEUTRAL).long(), (answers != NEUTRAL) & (answers != MISSING)


def both_kinds(labels: Tensor, used: Tensor) -> Tensor:
    """Rows that have samples of either kind among those that count (R,).

    >>> both_kinds(torch.tensor([[1, 0], [1, 0]]), torch.tensor([[True, True], [True, False]]))
    tensor([ True, False])
    """
    return (used & (labels > 0)).any(1) & (used & (labels == 0)).any(1)


def of_each_trait(labels: Tensor, used: Tensor, items: Sequence[Item]) -> tuple[Tensor, Tensor]:
    """Labels of statements and whether they count (5 P, 2 I), a row per person and trait, which counts its own items.

    Args:
        labels: (P, 2 I).
        used: (P, 2 I).
        items: I of them.
    """
    own = torch.tensor([[item.trait == trait for item in items] for trait in BIG_FIVE]).repeat_interleave(2, dim=1)
    return labels.repeat_interleave(len(BIG_FIVE), dim=0), (used.unsqueeze(1) & own).flatten(0, 1)


def item_folds(items: Sequence[Item], folds: int, seed: int) -> Tensor:
    """Share items out over folds, each with about as many of every trait and direction (I,).

    Args:
        items: The items.
        folds: How many folds.
        seed: Seed of who goes where.

    Returns:
        The fold of each item, from 0.

    Example:
        >>> items = [Item(number, f"Do {number}.", "openness", 1) for number in range(4)]
        >>> item_folds(items, 2, seed=0).bincount()
        tensor([2, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(items), generator=generator).tolist()
    order = sorted(
        range(len(items)), key=lambda place: (BIG_FIVE.index(items[place].trait), items[place].key, drawn[place])
    )
    fold = torch.empty(len(items), dtype=torch.long)
    fold[torch.tensor(order, dtype=torch.long)] = torch.arange(len(items)) % folds
    return fold


def find_heads(
    features: Tensor, labels: Tensor, used: Tensor, folds: Tensor, settings: HeadSettings
) -> tuple[Tensor, Tensor]:
    """The heads that tell best what a person would say from what not, judged on items that probes were not fitted on.

    Args:
        features: (N, L, H, D) activations at the last token of each statement.
        labels: (R, N) 1 where the person of the row would say so.
        used: (R, N) which statements count.
        folds: (N,) of each statement.
        settings: How to find them.

    Returns:
        Layer and head of each (R, k, 2), best first, and their accuracies (R, k).
    """
    groups = features.flatten(1, 2)
    if settings.ranking == "as_released":
        accuracy, loss = _released_accuracy(groups, labels, used, settings)
    else:
        accuracy, loss = _cross_validated(groups, labels, used, folds, settings.c)
    chosen = best_heads(accuracy, min(settings.heads, groups.shape[1]), loss)
    return torch.stack([chosen // features.shape[2], chosen % features.shape[2]], -1), accuracy.gather(1, chosen)


def head_shifts(
    features: Tensor, labels: Tensor, used: Tensor, heads: Tensor, accuracy: Tensor, settings: HeadSettings
) -> HeadShifts:
    """The direction of each chosen head, scaled by the spread of the statements along it.

    Args:
        features: (N, L, H, D).
        labels: (R, N).
        used: (R, N) the statements that the directions are taken from.
        heads: (R, k, 2).
        accuracy: (R, k).
        settings: Which direction.

    Returns:
        The shifts.

    Deviation:
        A head whose statements do not differ, or a person without any or with one kind only, gets a shift of zero, not
        nan.
    """
    groups = features.flatten(1, 2)
    vectors = groups.new_zeros(len(labels), groups.shape[1], groups.shape[2], dtype=torch.float32)
    known = both_kinds(labels, used)
    if bool(known.any()):
        rows_labels, rows_used = labels[known], used[known]
        if settings.direction == "probe":
            directions = fit_probes(groups, rows_labels, rows_used, c=settings.c).weights.float()
        else:
            directions = mean_difference(groups, rows_labels, rows_used)
        units = unit_directions(directions)
        vectors[known.to(vectors.device)] = units * projection_std(groups, units, rows_used).unsqueeze(-1)
    places = (heads[..., 0] * features.shape[2] + heads[..., 1]).to(vectors.device)
    chosen = vectors.gather(1, places.unsqueeze(-1).expand(-1, -1, vectors.shape[2]))
    return HeadShifts(heads, chosen, accuracy)


def _cross_validated(groups: Tensor, labels: Tensor, used: Tensor, folds: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Accuracy and log loss (R, G) of probes fitted on all folds but one and tried on that one, over all folds."""
    rows, sets = len(labels), groups.shape[1]
    accuracy, loss = torch.zeros(rows, sets, dtype=torch.double), torch.zeros(rows, sets, dtype=torch.double)
    tried = torch.zeros(rows, 1, dtype=torch.double)
    for fold in range(int(folds.max()) + 1):
        held = used & (folds == fold)
        fitted = used & (folds != fold)
        fits = held.any(1) & both_kinds(labels, fitted)
        if bool(fits.any()):
            result = held_back(groups, labels[fits], fitted[fits], held[fits], c=c)
            count = held[fits].double().sum(1, keepdim=True)
            accuracy[fits] += result.accuracy.cpu() * count
            loss[fits] += result.log_loss.cpu() * count
            tried[fits] += count
    unknown = tried == 0
    divisor = tried.clamp(min=1)
    return (
        torch.where(unknown, CHANCE[0], accuracy / divisor),
        torch.where(unknown, CHANCE[1], loss / divisor),
    )


def _released_accuracy(groups: Tensor, labels: Tensor, used: Tensor, settings: HeadSettings) -> tuple[Tensor, Tensor]:
    """Mean of the accuracies (R, G) on 40 % of the statements and on the others, which the probe is fitted on."""
    generator = torch.Generator().manual_seed(settings.seed)
    draws = torch.rand(labels.shape, generator=generator).masked_fill(~used, torch.inf)
    share = (used.sum(1, keepdim=True) * 0.6).long()
    fitted = used & (draws.argsort(1).argsort(1) < share)
    accuracy = torch.full((len(labels), groups.shape[1]), CHANCE[0], dtype=torch.double)
    fits = both_kinds(labels, fitted)
    if bool(fits.any()):
        right = (fit_probes(groups, labels[fits], fitted[fits], c=settings.c).decide(groups) > 0).cpu()
        right = right == (labels[fits] > 0).unsqueeze(1)
        parts = [part[fits].double().unsqueeze(1) for part in (fitted, used & ~fitted)]
        accuracy[fits] = sum((right * part).sum(-1) / part.sum(-1).clamp(min=1) for part in parts) / 2
    return accuracy, torch.full_like(accuracy, CHANCE[1])
