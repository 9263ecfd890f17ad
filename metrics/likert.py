"""Five-point questionnaires: how far a model's answers lie from a person's, and which traits they add up to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.answer_letters import parse_letter
from metrics.records import RecordMeans, record_index, sum_by_record
from personas.traits import BIG_FIVE, LETTER_OF_TRAIT

POINTS = {"A": 5, "B": 4, "C": 3, "D": 2, "E": 1}
MISSING = 0  # how the published tables write an item that the person did not answer


class LikertParts(NamedTuple):
    """Figures of each person (P,) and of each person and trait (P, T); nan where there is nothing to average.

    `mean` and `std` are of the model's keyed scores, `mean_abs_error` and `std_abs_error` of its distance from the
    person, `alignment_error` is the sum of the traits' mean errors. `empty` marks persons that lack a trait, and so the
    sum.
    """

    alignment_error: Tensor
    mean_abs_error: Tensor
    std_abs_error: Tensor
    mean: Tensor
    std: Tensor
    empty: Tensor


def keyed(scores: Tensor, keys: Tensor) -> Tensor:
    """Turn the scores of reversed items (key -1) around, so that a high one always means more of the trait.

    Args:
        scores: (N,) from 1 to 5, nan where there is none.
        keys: (N,) 1 or -1.

    Returns:
        (N,) keyed scores.

    Example:
        >>> keyed(torch.tensor([5.0, 5.0]), torch.tensor([1, -1]))
        tensor([5., 1.])
    """
    return torch.where(keys < 0, 6 - scores, scores)


def likert_alignment(
    scores: Tensor,
    values: Tensor,
    keys: Tensor,
    traits: Tensor,
    person: Tensor | None = None,
    *,
    num_traits: int = 5,
    num_persons: int | None = None,
    as_released: bool = False,
) -> LikertParts:
    """Distance between the model's and the person's answers per person and trait, and the model's own trait scores.

    Args:
        scores: (N,) the model's scores from 1 to 5; nan where its answer could not be read. Need not be whole.
        values: (N,) the person's answers from 1 to 5; 0 where there is none.
        keys: (N,) 1 or -1. The distance is of raw answers: turning both around would not change it.
        traits: (N,) trait of each item, below T.
        person: (N,) the person of each item; None takes all items as one person's.
        num_traits: T.
        num_persons: P, needed only if some person may have no item; `person` then counts from 0.
        as_released: Take a missing answer of the person for an answer of 0.

    Returns:
        The figures, persons in ascending order.

    Raises:
        ValueError: If the shapes do not fit, or a number is out of its range.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (alignment score).

    Deviation:
        The release counts a missing answer as 0, so that the smallest error there is 1. It is kept as `as_released`.

    Example:
        >>> scores, person = torch.tensor([5.0, 1.0, 4.0]), torch.tensor([4, 0, 2])
        >>> parts = likert_alignment(scores, person, torch.tensor([1, -1, 1]), torch.tensor([0, 0, 1]), num_traits=2)
        >>> parts.mean_abs_error, parts.alignment_error  # |5 - 4| and |4 - 2|
        (tensor([[1., 2.]], dtype=torch.float64), tensor([3.], dtype=torch.float64))
        >>> parts.mean  # (5 + 5) / 2, since the second item is reversed
        tensor([[5., 4.]], dtype=torch.float64)
    """
    _check_items(scores, values, keys, traits, num_traits)
    index, num_persons = record_index(person, len(scores), num_persons, torch.device("cpu"))
    scores, values, cell = (
        scores.detach().cpu().double(),
        values.cpu().double(),
        index * num_traits + traits.cpu().long(),
    )
    answered = ~torch.isnan(scores)
    compared = answered if as_released else answered & (values != MISSING)
    cells = (num_persons, num_traits)
    mean, std = (part.reshape(cells) for part in _moments(keyed(scores, keys.cpu()), answered, cell, math.prod(cells)))
    errors = (scores - values).abs()
    error, error_std = (part.reshape(cells) for part in _moments(errors, compared, cell, math.prod(cells)))
    total = error.sum(-1)
    return LikertParts(total, error, error_std, mean, std, torch.isnan(total))


@dataclass(frozen=True)
class PapiScores:
    """One person's questionnaire as the model answered it; dictionaries by trait letter.

    `letters`, `keyed_scores` and `abs_errors` have an entry per item, None where there is none. `counts` counts the
    letters, and under UNK the answers without one.
    """

    letters: list[str | None]
    keyed_scores: list[float | None]
    abs_errors: list[float | None]
    counts: dict[str, int]
    mean: dict[str, float]
    std: dict[str, float]
    mean_abs_error: dict[str, float]
    std_abs_error: dict[str, float]
    sum_of_trait_mean_abs_error: float


def papi_scoring(
    answers: Sequence[str],
    traits: Sequence[str],
    keys: Sequence[int],
    values: Sequence[int],
    *,
    as_released: bool = False,
) -> PapiScores:
    """Score a person's questionnaire from the texts that the model wrote.

    Args:
        answers: N texts.
        traits: N letters, O C E A N.
        keys: N times 1 or -1.
        values: The person's N answers, 0 where there is none.
        as_released: Read the texts and the missing answers as the published code does.

    Returns:
        Scores and errors per item and per trait; nan for a trait without any.

    Raises:
        ValueError: If the lengths differ, a trait is unknown, or a number is out of its range.

    Example:
        >>> scores = papi_scoring(["(A).", "no idea"], ["E", "E"], [-1, 1], [4, 3])
        >>> scores.letters, scores.keyed_scores, scores.abs_errors, scores.mean["E"], scores.counts["UNK"]
        (['A', None], [1.0, None], [1.0, None], 1.0, 1)
    """
    names = [LETTER_OF_TRAIT[trait] for trait in BIG_FIVE]
    unknown = set(traits) - set(names)
    if unknown:
        raise ValueError(f"`traits` expected letters of {names} but got {sorted(unknown)}")
    letters = [parse_letter(answer, as_released) for answer in answers]
    scores = letter_scores(letters)
    key, value = torch.tensor(keys, dtype=torch.long), torch.tensor(values, dtype=torch.float64)
    trait = torch.tensor([names.index(name) for name in traits], dtype=torch.long)
    parts = likert_alignment(scores, value, key, trait, as_released=as_released)
    errors = torch.where((value == MISSING) & (not as_released), torch.nan, (scores - value).abs())
    by_trait = {
        name: dict(zip(names, getattr(parts, name)[0].tolist(), strict=True))
        for name in ("mean", "std", "mean_abs_error", "std_abs_error")
    }
    return PapiScores(
        letters=letters,
        keyed_scores=_none_for_nan(keyed(scores, key)),
        abs_errors=_none_for_nan(errors),
        counts={letter: letters.count(letter) for letter in POINTS} | {"UNK": letters.count(None)},
        sum_of_trait_mean_abs_error=parts.alignment_error.item(),
        **by_trait,
    )


def letter_scores(letters: Sequence[str | None]) -> Tensor:
    """Scores of option letters: A is 5, E is 1, nan where there is no letter.

    Example:
        >>> letter_scores(["A", "D", None])
        tensor([5., 2., nan], dtype=torch.float64)
    """
    return torch.tensor([math.nan if letter is None else POINTS[letter] for letter in letters], dtype=torch.float64)


class LikertAlignment(RecordMeans):
    """Mean over persons of the summed mean distance per trait between model and person; lower is better.

    `compute` gives `alignment_error`, `alignment_error/<trait>`, `records` (persons), `empty_records` (persons without
    a comparable item of some trait), `items` and `parse_failures` (items whose answer could not be read).

    Args:
        traits: Names of the traits, in the order of their numbers.
        as_released: Take a missing answer of the person for an answer of 0.
        keep_records: Keep the values per person, for intervals.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = LikertAlignment(["openness"])
        >>> metric.update(torch.tensor([5.0, torch.nan]), torch.tensor([3, 3]), torch.ones(2), torch.zeros(2))
        >>> metric.compute()["alignment_error"], metric.compute()["parse_failures"]
        (tensor(2.), tensor(1))
    """

    higher_is_better = False
    items: Tensor
    parse_failures: Tensor

    def __init__(
        self, traits: Sequence[str] = BIG_FIVE, as_released: bool = False, keep_records: bool = True, **kwargs: Any
    ) -> None:
        names = ["alignment_error", *(f"alignment_error/{trait}" for trait in traits)]
        super().__init__(names, keep_records, **kwargs)
        self.traits = list(traits)
        self.as_released = as_released
        self.add_state("items", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("parse_failures", torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        scores: Tensor,
        values: Tensor,
        keys: Tensor,
        traits: Tensor,
        person: Tensor | None = None,
        *,
        num_persons: int | None = None,
    ) -> None:
        """Add all items of whole persons; the arguments are those of `likert_alignment`."""
        parts = likert_alignment(
            scores, values, keys, traits, person,
            num_traits=len(self.traits), num_persons=num_persons, as_released=self.as_released,
        )  # fmt: skip
        figures = torch.cat([parts.alignment_error[:, None], parts.mean_abs_error], 1)
        self._add(figures, ~torch.isnan(figures), parts.empty)
        self.items = self.items + len(scores)
        self.parse_failures = self.parse_failures + torch.isnan(scores).sum().to(self.parse_failures.device)

    def compute(self) -> dict[str, Tensor]:
        """Means over persons, and the numbers of persons, items and unreadable answers."""
        return super().compute() | {"items": self.items, "parse_failures": self.parse_failures}


def _moments(values: Tensor, chosen: Tensor, cell: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (divided by n) of the chosen values of each cell (cells,)."""
    number = sum_by_record(chosen.double(), cell, cells)
    mean = sum_by_record(torch.where(chosen, values, 0.0), cell, cells) / number
    spread = torch.where(chosen, (values - mean[cell]).square(), 0.0)
    return mean, (sum_by_record(spread, cell, cells) / number).sqrt()


def _none_for_nan(values: Tensor) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _check_items(scores: Tensor, values: Tensor, keys: Tensor, traits: Tensor, num_traits: int) -> None:
    for name, tensor in (("values", values), ("keys", keys), ("traits", traits)):
        if scores.ndim != 1 or tensor.shape != scores.shape:
            raise ValueError(
                f"`{name}` expected one per item, like `scores` {tuple(scores.shape)}, but got {tuple(tensor.shape)}"
            )
    for name, tensor, low, high in (
        ("scores", scores, 1, 5),
        ("values", values, 0, 5),
        ("traits", traits, 0, num_traits - 1),
    ):
        outside = tensor[(tensor < low) | (tensor > high)]
        if len(outside):
            raise ValueError(f"`{name}` expected numbers from {low} to {high} but got {outside[0].item()}")
    if not bool((keys.abs() == 1).all()):
        raise ValueError(f"`keys` expected 1 or -1 but got {keys[keys.abs() != 1][0].item()}")
