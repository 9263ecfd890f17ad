"""Items of TRAIT as they are published: a situation, and four responses to it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import require
from files.records import is_hub, read_records
from personas.traits import TRAITS, trait_named

FILE = "TRAIT.json"
HIGH, LOW = ("response_high1", "response_high2"), ("response_low1", "response_low2")


@dataclass(frozen=True)
class TraitItem:
    """One multiple-choice item.

    Attributes:
        name: Its number in the data set.
        trait: What it measures.
        situation: What happens.
        query: What is asked.
        high: Two responses of somebody high on the trait.
        low: Two of somebody low on it.
    """

    name: str
    trait: str
    situation: str
    query: str
    high: tuple[str, str]
    low: tuple[str, str]

    def options(self, order: int) -> tuple[str, str, str, str]:
        """The four responses in the plain order (0) or the reversed one (1), where each pair changes places.

        Example:
            >>> item = TraitItem("0", "openness", "It rains.", "And now?", ("h1", "h2"), ("l1", "l2"))
            >>> item.options(0), item.options(1)
            (('h1', 'l1', 'h2', 'l2'), ('l1', 'h1', 'l2', 'h2'))
        """
        (high1, high2), (low1, low2) = self.high, self.low
        return (high1, low1, high2, low2) if order == 0 else (low1, high1, low2, high2)


def trait_files(source: str | Path) -> list[Path]:
    """The local files of a data set: the file itself, or TRAIT.json or else every JSON file of a folder.

    Raises:
        InputError: If there is none.
    """
    if is_hub(source):
        return []
    path = Path(source)
    if path.is_file():
        return [path]
    found = [path / FILE] if (path / FILE).is_file() else sorted([*path.glob("*.json"), *path.glob("*.jsonl")])
    if not found:
        raise InputError(
            "is no file and no folder with files of items",
            file=path,
            field="--data.init_args.data_dir",
            expected=f"{FILE}, a folder with it, or hub:owner/name",
            got=str(source),
            fix="check the path",
        )
    return found


def read_trait_items(
    source: str | Path, traits: Sequence[str] = TRAITS, limit: int | None = None, paraphrased: bool = False
) -> list[TraitItem]:
    """Read items.

    Args:
        source: A file, a folder or a data set of the hub.
        traits: Keep items of these traits only; all are checked.
        limit: Keep the first so many of each trait.
        paraphrased: Take the paraphrased situation and query.

    Returns:
        The items, in the order of the files.

    Raises:
        InputError: If a record is faulty, or nothing is left.
    """
    kept: list[TraitItem] = []
    counts = dict.fromkeys(traits, 0)
    numbers = itertools.count()  # over all records, so that an item has one name whichever traits are asked for
    sources: list[str | Path] = [*trait_files(source)] or [source]
    for file in sources:
        for row, record in read_records(file):
            item = _item(record, next(numbers), file, row, paraphrased)
            if item.trait in counts and (limit is None or counts[item.trait] < limit):
                counts[item.trait] += 1
                kept.append(item)
    if not kept:
        raise InputError(
            "holds no item of the traits asked for",
            file=source,
            field="--data.init_args.traits",
            expected="records with the trait in `personality`",
            got=list(traits),
            fix="name other traits, or fetch the file again",
        )
    return kept


def _item(record: Mapping[str, Any], number: int, file: str | Path, row: int, paraphrased: bool) -> TraitItem:
    def text(field: str) -> str:
        return require(record, field, str, file=file, row=row).strip()

    try:
        before = "paraphrased_" if paraphrased else ""
        named = text("personality")
        item = TraitItem(
            name=str(number),
            trait=trait_named(named),
            situation=text(f"{before}situation"),
            query=text(f"{before}query"),
            high=(text(HIGH[0]), text(HIGH[1])),
            low=(text(LOW[0]), text(LOW[1])),
        )
    except ValueError as error:
        expected = f"one of {', '.join(trait.title() for trait in TRAITS)}"
        raise _fault("names no trait", file, row, "personality", expected, named) from error
    except InputError as error:
        error.fix = error.fix or "correct or remove this record"
        raise
    for field, response in zip(HIGH, item.high, strict=True):
        if response in item.low:
            twin = LOW[item.low.index(response)]
            raise _fault(f"is the same as {twin}", file, row, field, "responses that tell the levels apart", response)
    return item


def _fault(problem: str, file: str | Path, row: int, field: str, expected: str, got: object) -> InputError:
    return InputError(
        problem, file=file, row=row, field=field, expected=expected, got=got, fix="correct or remove this record"
    )
