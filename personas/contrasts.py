"""Contrast sets: texts of two opposite kinds, pair by pair, such as descriptions of people high and low on a trait."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json, read_json_lines
from personas.traits import trait_named

SIDES = ("positive", "negative")
_REVERSED = "_reversed"


@dataclass(frozen=True)
class Contrast:
    """Texts of both sides of one quality.

    Attributes:
        name: What the quality is called; a trait's name as in `personas.traits` where it is one.
        positive: Texts of its positive side.
        negative: Texts of its negative side, one for each positive one.
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.positive)


def read_contrasts(path: str | Path) -> dict[str, Contrast]:
    """Read contrast sets.

    Two forms are known. An object that maps each name to `{"positive": ..., "negative": ...}`, each side a text or a
    list of texts. And one object per line that maps traits, and `<Trait>_reversed`, to a text, where the texts of both
    ends of a trait make the pairs in their order.

    Args:
        path: The file.

    Returns:
        The sets by name, in the order of the file.

    Raises:
        InputError: The file is faulty, a side is empty, or the sides of a set differ in length.
    """
    texts: dict[str, dict[str, list[str]]] = {}
    for row, record in _records(Path(path)):
        for key, value in record.items():
            if isinstance(value, Mapping):
                name, sides = _known(key), {side: _listed(value, side, path, row, key) for side in SIDES}
            else:
                name = _known(key.removesuffix(_REVERSED))
                side = SIDES[1] if key.endswith(_REVERSED) else SIDES[0]
                sides = {side: [_text(value, path, row, key)]}
            mine = texts.setdefault(name, {side: [] for side in SIDES})
            for side, found in sides.items():
                mine[side] += found
    if not texts:
        raise InputError("holds no contrast", file=path, expected="names with texts of both sides", fix="fill it")
    return {name: _checked(name, sides, path) for name, sides in texts.items()}


def _checked(name: str, sides: Mapping[str, list[str]], path: str | Path) -> Contrast:
    positive, negative = (tuple(sides[side]) for side in SIDES)
    for side, found in zip(SIDES, (positive, negative), strict=True):
        if not found:
            raise InputError(
                "has no text on one side",
                file=path,
                field=f"{name}.{side}",
                expected="texts of both sides",
                got=list(found),
                fix="add some, or remove the set",
            )
    if len(positive) != len(negative):
        raise InputError(
            "has sides of different length",
            file=path,
            field=name,
            expected=f"{len(positive)} negative texts, one for each positive one",
            got=len(negative),
            fix="complete the pairs",
        )
    return Contrast(name, positive, negative)


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The whole file as one object, or its lines."""
    if _first_line_is_whole(path):
        yield from read_json_lines(path)
        return
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            "is no contrast file", file=path, expected="an object with a name for each contrast", got=content
        )
    yield 1, content


def _first_line_is_whole(path: Path) -> bool:
    """Whether the first line that is not blank is an object by itself."""
    try:
        with path.open(encoding="utf-8") as stream:
            first = next((line for line in stream if line.strip()), "")
        return isinstance(json.loads(first), dict)
    except (OSError, ValueError, RecursionError):
        return False


def _listed(value: Mapping[str, Any], side: str, path: str | Path, row: int, key: str) -> list[str]:
    if side not in value:
        raise InputError(
            "lacks a side", file=path, row=row, field=f"{key}.{side}", expected="a text or a list", got=sorted(value)
        )
    found = value[side]
    texts = found if isinstance(found, list) else [found]
    return [_text(text, path, row, f"{key}.{side}") for text in texts]


def _text(value: Any, path: str | Path, row: int, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            "is no text",
            file=path,
            row=row,
            field=field,
            expected="text that is not empty",
            got=value,
            fix="correct it",
        )
    return value.strip()


def _known(name: str) -> str:
    """A trait's name as it is written here; any other name as it is."""
    try:
        return trait_named(name)
    except ValueError:
        return name.strip()
