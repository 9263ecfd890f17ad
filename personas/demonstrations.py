"""Opinions to show as examples: topics, each with what people at some ends of traits say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import require, require_list
from files.records import read_records
from personas.descriptions import REVERSED, Pole, pole_named

TOPIC, TARGET = "ent", "target_per"


@dataclass(frozen=True)
class Demonstration:
    """A topic and the opinions on it that can be shown.

    Attributes:
        topic: What the opinions are about.
        opinions: What people at each end of a trait say, at least one text each.
    """

    topic: str
    opinions: Mapping[Pole, tuple[str, ...]]


def read_demonstrations(source: str | Path, split: str | None = None) -> list[Demonstration]:
    """Read opinions in the format of PersonalityEdit, where a trait's name may also end with `_reversed`.

    Args:
        source: A file, or a data set of the hub.
        split: Which split of a hub data set.

    Returns:
        The topics in the order of the file.

    Raises:
        InputError: If a record has no topic, names something that is no trait, or has no opinions of it.
    """
    found = [_demonstration(record, source, row) for row, record in read_records(source, split)]
    if not found:
        raise InputError(
            "holds no opinions",
            file=source,
            expected='records such as {"ent": topic, "<trait>": [opinions], ...}',
            fix="fetch the file again",
        )
    return found


def _demonstration(record: Mapping[str, Any], source: str | Path, row: int) -> Demonstration:
    opinions: dict[Pole, tuple[str, ...]] = {}
    try:
        topic = require(record, TOPIC, str, file=source, row=row).strip()
        for name in record:
            if name in (TOPIC, TARGET):
                continue
            opinions[_pole(name, source, row)] = tuple(require_list(record, name, str, file=source, row=row))
    except InputError as error:
        error.fix = error.fix or "correct or remove this record"
        raise
    if not opinions:
        raise InputError(
            "has no opinions",
            file=source,
            row=row,
            expected=f"lists of opinions under traits' names, or under <trait>{REVERSED}",
            got=sorted(record),
            fix="correct or remove this record",
        )
    return Demonstration(topic, opinions)


def _pole(name: str, source: str | Path, row: int) -> Pole:
    try:
        return pole_named(name)
    except ValueError as error:
        raise InputError(
            "names no trait",
            file=source,
            row=row,
            field=name,
            expected=f"a trait's name, or one that ends with {REVERSED}",
            got=name,
            fix="correct the key",
        ) from error
