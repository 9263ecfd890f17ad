"""TRAIT: how often a model prefers the answers of a high over those of a low level of a trait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.records import RecordMeans
from metrics.token_log_probs import exact
from personas.traits import TRAITS

OPTIONS = ("A", "B", "C", "D")
# Columns of the plain and of the reversed order that hold the same response: two of the high level, then two of the low
_PLAIN = (0, 2, 1, 3)
_REVERSED = (1, 3, 0, 2)


class TraitLevels(NamedTuple):
    """What a model prefers in each item.

    `norm` and `norm_rev` (N, 4): probabilities of the options A to D in both orders, adding up to 1. `scores` (N, 4):
    mean probability over both orders of the responses high 1, high 2, low 1, low 2. `max_option` (N,): the likeliest of
    them, the first one on a tie. `high` (N,): whether it is of the high level. `empty` (N,): no probability on any
    option in one of the orders, so that the rest means nothing.
    """

    norm: Tensor
    norm_rev: Tensor
    scores: Tensor
    max_option: Tensor
    high: Tensor
    empty: Tensor


def trait_levels(plain: Tensor, reversed_order: Tensor) -> TraitLevels:
    """Preferred response of each item, averaged over the two orders of its options.

    Args:
        plain: (N, 4) probabilities of the options, which stand for high 1, low 1, high 2, low 2. They need not add up
            to 1.
        reversed_order: (N, 4) the same for low 1, high 1, low 2, high 2.

    Returns:
        The levels and what they come from.

    Raises:
        ValueError: If the shapes do not fit, or a probability is negative.

    Reference:
        Lee et al., Do LLMs Have Distinct and Consistent Personality? TRAIT, 2024.

    Example:
        >>> levels = trait_levels(torch.tensor([[0.1, 0.2, 0.3, 0.4]]), torch.tensor([[0.1, 0.1, 0.1, 0.7]]))
        >>> levels.scores, levels.max_option, levels.high  # high 2: (0.3 + 0.7) / 2
        (tensor([[0.1000, 0.5000, 0.1500, 0.2500]]), tensor([1]), tensor([True]))
    """
    for name, tensor in (("plain", plain), ("reversed_order", reversed_order)):
        if tensor.ndim != 2 or tensor.shape[1] != len(OPTIONS) or len(tensor) != len(plain):
            raise ValueError(f"`{name}` expected shape ({len(plain)}, {len(OPTIONS)}) but got {tuple(tensor.shape)}")
        if (tensor < 0).any():
            raise ValueError(
                f"`{name}` expected probabilities but got {tensor.min().item()}; take exp of log-probabilities"
            )
    plain, reversed_order = exact(plain), exact(reversed_order)
    total, total_rev = plain.sum(-1, keepdim=True), reversed_order.sum(-1, keepdim=True)
    empty = ~((total > 0) & (total_rev > 0)).squeeze(-1)
    norm, norm_rev = plain / total, reversed_order / total_rev
    scores = (norm[:, _PLAIN] + norm_rev[:, _REVERSED]) / 2
    max_option = scores.argmax(-1)
    return TraitLevels(norm, norm_rev, scores, max_option, (max_option < 2) & ~empty, empty)


def option_probabilities(
    likelihoods: Sequence[Mapping[str, float]], *, log: bool = False, as_released: bool = False
) -> Tensor:
    """Probabilities of the options A to D; an option that is missing has none.

    Args:
        likelihoods: N mappings from option to probability.
        log: They are log-probabilities, as endpoints give for the likeliest tokens.
        as_released: Count a missing option as a log-probability of 0, which makes it certain.

    Returns:
        (N, 4) in float64.

    Deviation:
        With log-probabilities the release makes an option that is missing certain. It is kept as `as_released`.

    Example:
        >>> option_probabilities([{"A": 0.5, "C": 0.25}])
        tensor([[0.5000, 0.0000, 0.2500, 0.0000]], dtype=torch.float64)
        >>> option_probabilities([{"A": -0.6931}], log=True)
        tensor([[0.5000, 0.0000, 0.0000, 0.0000]], dtype=torch.float64)
    """
    missing = 0.0 if not log or as_released else -torch.inf
    rows = [[float(item.get(option, missing)) for option in OPTIONS] for item in likelihoods]
    values = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(OPTIONS))
    return values.exp() if log else values


@dataclass(frozen=True)
class TraitScores:
    """Share of high answers per trait in percent (None without an item), the counts behind it, and every item's level.

    `score_list` has an entry for each trait in their order; as released, traits without an item are left out of it.
    """

    levels: TraitLevels
    counts: dict[str, dict[str, int]]
    scores: dict[str, float | None]
    score_list: list[float | None]


def trait_scoring(
    personalities: Sequence[str],
    likelihoods: Sequence[Mapping[str, float]],
    likelihoods_rev: Sequence[Mapping[str, float]],
    traits: Sequence[str] = TRAITS,
    *,
    log: bool = False,
    as_released: bool = False,
) -> TraitScores:
    """Score items from the likelihoods of their options in both orders.

    Args:
        personalities: N trait names.
        likelihoods: N mappings from option to probability, options in plain order.
        likelihoods_rev: The same in reversed order.
        traits: The traits to score.
        log: The likelihoods are log-probabilities.
        as_released: Count missing options and list the scores as the published code does.

    Returns:
        Scores per trait.

    Raises:
        ValueError: If the lengths differ, or an item has a trait that is not asked for.

    Deviation:
        The release leaves traits without an item out of its list, so that later scores move up, and makes missing
        options certain where it reads log-probabilities. Items without any probability, which stop it, count for
        neither level.

    Example:
        >>> high, low = {"A": 0.9, "B": 0.1}, {"A": 0.1, "B": 0.9}
        >>> trait_scoring(["openness"], [high], [low], ["openness", "narcissism"]).scores
        {'openness': 100.0, 'narcissism': None}
    """
    if not len(personalities) == len(likelihoods) == len(likelihoods_rev):
        raise ValueError(
            f"`likelihoods` and `likelihoods_rev` expected {len(personalities)} items, one per name, "
            f"but got {len(likelihoods)} and {len(likelihoods_rev)}"
        )
    unknown = set(personalities) - set(traits)
    if unknown:
        raise ValueError(f"`personalities` expected names of {list(traits)} but got {sorted(unknown)}")
    levels = trait_levels(
        option_probabilities(likelihoods, log=log, as_released=as_released),
        option_probabilities(likelihoods_rev, log=log, as_released=as_released),
    )
    counts = {trait: {"high": 0, "low": 0} for trait in traits}
    for trait, high, empty in zip(personalities, levels.high.tolist(), levels.empty.tolist(), strict=True):
        if not empty:
            counts[trait]["high" if high else "low"] += 1
    scores = {trait: _percentage(**count) for trait, count in counts.items()}
    score_list = [score for score in scores.values() if score is not None or not as_released]
    return TraitScores(levels, counts, scores, score_list)


class TraitScore(RecordMeans):
    """Share of items, in percent, in which the model prefers a response of the high level, for each trait.

    Which direction is better depends on the persona asked for. `compute` gives `trait_score/<trait>`, nan for a trait
    without an item, `records` (items) and `empty_records` (items without any probability on their options).

    Args:
        traits: Names of the traits, in the order of their numbers.
        keep_records: Keep the value of every item, for intervals.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = TraitScore(["openness"])
        >>> metric.update(torch.tensor([[0.9, 0.1, 0, 0]]), torch.tensor([[0.1, 0.9, 0, 0]]), torch.tensor([0]))
        >>> metric.compute()["trait_score/openness"]
        tensor(100.)
    """

    higher_is_better = None

    def __init__(self, traits: Sequence[str] = TRAITS, keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__([f"trait_score/{trait}" for trait in traits], keep_records, **kwargs)

    def update(self, plain: Tensor, reversed_order: Tensor, trait: Tensor) -> None:
        """Add items: probabilities of their options in both orders (N, 4), and the number of their trait (N,).

        Raises:
            ValueError: If a trait's number is out of range or the shapes do not fit.
        """
        levels = trait_levels(plain, reversed_order)
        if trait.shape != levels.high.shape:
            raise ValueError(f"`trait` expected shape {tuple(levels.high.shape)} but got {tuple(trait.shape)}")
        outside = trait[(trait < 0) | (trait >= len(self.quantities))]
        if len(outside):
            raise ValueError(f"`trait` expected numbers below {len(self.quantities)} but got {outside[0].item()}")
        of_trait = torch.nn.functional.one_hot(trait.long(), len(self.quantities)).bool()
        values = 100.0 * levels.high[:, None].expand_as(of_trait)
        self._add(values, of_trait & ~levels.empty[:, None], levels.empty)


def _percentage(high: int, low: int) -> float | None:
    return 100 * high / (high + low) if high + low else None
