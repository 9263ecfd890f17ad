"""Questionnaires about personality: items, the people who answered them, and how the items are split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from files.errors import InputError
from files.readers import read_json, require_list

DESCRIBING, SCORED = "train_index", "test_index"
"""Keys of a split file: the items that describe a person, and those whose answers are to be predicted."""

MISSING = 0
"""How an item that a person did not answer is written; answers go from 1 (very inaccurate) to 5 (very accurate)."""


@dataclass(frozen=True)
class Item:
    """A statement about oneself.

    Attributes:
        number: Its number in the full questionnaire.
        text: The statement, with its full stop.
        trait: The trait it belongs to, by name.
        key: 1 where agreeing means more of the trait, -1 where it means less.
        facet: The facet it belongs to; None where the questionnaire does not say.
        short: Its number in the short form; None where it is not in it.
    """

    number: int
    text: str
    trait: str
    key: int
    facet: str | None = None
    short: int | None = None


@dataclass(frozen=True)
class Questionnaire:
    """The items put to use.

    Attributes:
        described: Items whose answers describe a person.
        scored: Items whose answers are predicted; none of them describes anybody.
    """

    described: tuple[Item, ...]
    scored: tuple[Item, ...]

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """All of them: those that describe a person first."""
        return self.described + self.scored


@dataclass(frozen=True)
class Participant:
    """Somebody who answered a questionnaire.

    Attributes:
        case: The number or name in the published table.
        position: Row in that table, from 0.
        answers: An answer to each of the questionnaire's items, in their order; 0 is missing. Tables of hundreds of
            thousands of people are kept as bytes, one per answer.
    """

    case: str
    position: int
    answers: Sequence[int]

    def described(self, questionnaire: Questionnaire) -> Sequence[int]:
        """The answers that describe the person."""
        return self.answers[: len(questionnaire.described)]

    def scored(self, questionnaire: Questionnaire) -> Sequence[int]:
        """The answers to be predicted."""
        return self.answers[len(questionnaire.described) :]


def read_split(path: str | Path) -> dict[str, list[int]]:
    """Read which items describe a person and which are to be predicted.

    Args:
        path: A JSON object with the lists of numbers `train_index` and `test_index`.

    Returns:
        Both lists by name.

    Raises:
        InputError: If the file is faulty.
    """
    content = read_json(path)
    try:
        return {name: require_list(content, name, int, file=path) for name in (DESCRIBING, SCORED)}
    except InputError as error:
        error.fix = f"write both lists of item numbers, {DESCRIBING} and {SCORED}"
        raise


def split_items(numbers: Mapping[str, Sequence[int]], items: Mapping[int, Item], path: str | Path) -> Questionnaire:
    """Put the items of a split together.

    Args:
        numbers: What `read_split` returned.
        items: All items by number.
        path: The split file, named in errors.

    Returns:
        The questionnaire, items in the order of the file.

    Raises:
        InputError: If the split names an item that is not there, or names one twice.
    """
    seen: dict[int, str] = {}
    for name, listed in numbers.items():
        for place, number in enumerate(listed):
            field = f"{name}[{place}]"
            if number not in items:
                raise InputError(
                    "names an item that the item key does not have",
                    file=path,
                    field=field,
                    expected=_known(items),
                    got=number,
                    fix="correct the number, or give the item key that belongs to this split",
                )
            if number in seen:
                raise InputError(
                    f"names an item that {seen[number]} has named already",
                    file=path,
                    field=field,
                    expected="every item once: one that is scored must not describe the person",
                    got=number,
                    fix="remove one of the two",
                )
            seen[number] = field
    return Questionnaire(*(tuple(items[number] for number in numbers[name]) for name in (DESCRIBING, SCORED)))


def facet_scores(items: Sequence[Item], answers: Sequence[float]) -> dict[str, float]:
    """Mean keyed score of each facet, 1 to 5; facets without an answer are left out.

    Args:
        items: N items.
        answers: N answers, 0 for a missing one.

    Returns:
        From the facet's name to its score.

    Example:
        >>> worry, calm = Item(1, "Worry.", "neuroticism", 1, "anxiety"), Item(2, "Calm.", "neuroticism", -1, "anxiety")
        >>> items = [worry, calm]
        >>> facet_scores(items, [4, 1]), facet_scores(items, [4, 0]), facet_scores(items, [0, 0])
        ({'anxiety': 4.5}, {'anxiety': 4.0}, {})
    """
    return _mean_scores((item.facet for item in items), items, answers)


def trait_scores(items: Sequence[Item], answers: Sequence[float]) -> dict[str, float]:
    """Mean keyed score of each trait, 1 to 5; traits without an answer are left out.

    Args:
        items: N items.
        answers: N answers, 0 for a missing one.

    Returns:
        From the trait's name to its score.

    Example:
        >>> trait_scores([Item(1, "Worry.", "neuroticism", 1), Item(2, "Keep calm.", "neuroticism", -1)], [5, 2])
        {'neuroticism': 4.5}
    """
    return _mean_scores((item.trait for item in items), items, answers)


def _mean_scores(groups: Iterable[str | None], items: Sequence[Item], answers: Sequence[float]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for group, item, answer in zip(groups, items, answers, strict=True):
        if group is not None and answer != MISSING:
            scores.setdefault(group, []).append(answer if item.key > 0 else 6 - answer)
    return {group: sum(values) / len(values) for group, values in scores.items()}


def _known(items: Mapping[int, Item]) -> str:
    return f"one of its {len(items)} items, numbered {min(items)} to {max(items)}" if items else "no item at all"
