"""JSON as the standard defines it, with every refusal located.

Python's parser lets pass what no other program reads (NaN, a key given twice, numbers beyond any machine type). Here
they are errors that name the place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from files.errors import InputError

LARGEST_INTEGER = 2**63
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _RefusedError(Exception):
    """A part of the document is not acceptable; where it stands is looked up afterwards."""


class _Duplicate:
    """Stands in a leniently parsed document for an object that gives one key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def parse_json(text: str, *, file: str | Path | None = None, row: int | None = None) -> Any:
    """Parse one JSON document.

    Args:
        text: The document.
        file: Named in errors.
        row: Line of the file on which the document stands, if the file has one document per line.

    Returns:
        The parsed object.

    Raises:
        InputError: The text is cut off or malformed (line and column given), nested too deeply, or holds NaN or an
            infinity, a number outside 64 bits, a key given twice or half of a surrogate pair (place given).

    >>> parse_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse_json('[{"a": [1, NaN]}]', file="x.json")
    Traceback (most recent call last):
    ...
    files.errors.InputError: x.json, row 0, field 'a[1]': not a finite number of 64 bits
      expected: a finite number
      got: nan
      next step: correct the file
    """
    try:
        content = _STRICT.decode(text)
        if _SURROGATE.search(text):
            # Only a lone half of a pair fails here; correct pairs have become one character.
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        return content
    except json.JSONDecodeError as error:
        raise _syntax_error(error, file, row) from error
    except _RefusedError as error:
        raise _refused(text, file, row) from error
    except UnicodeEncodeError as error:
        raise _half_character(content, file, row) from error
    except RecursionError as error:
        raise _too_deep(file, row) from error


def _refused(text: str, file: str | Path | None, row: int | None) -> InputError:
    """Describe the first refused value of a document; what is malformed behind it, if it cannot be read to its end."""
    try:
        return _located(_LENIENT.decode(text), file, row)
    except json.JSONDecodeError as error:
        return _syntax_error(error, file, row)
    except RecursionError:
        return _too_deep(file, row)


def _too_deep(file: str | Path | None, row: int | None) -> InputError:
    return InputError("is nested too deeply", file=file, row=row, expected="at most a few hundred levels")


def _syntax_error(error: json.JSONDecodeError, file: str | Path | None, row: int | None) -> InputError:
    cut_off = not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string")
    line = error.lineno if row is None else row
    rest = error.doc[error.pos : error.pos + 40]
    return InputError(
        f"is not complete JSON: the text ends in the middle ({error.msg})" if cut_off else f"is not JSON: {error.msg}",
        file=file,
        row=f"line {line}, column {error.colno}",
        got=rest if rest else "end of file",
        fix="fetch or write the file again" if cut_off else "correct the file at that place",
    )


def _located(content: Any, file: str | Path | None, row: int | None) -> InputError:
    """Describe the first refused value, with the list index as row where the document is a list of records."""
    path, value = next(_refused_values(content, ()))
    row, field = _place(path, row)
    if isinstance(value, _Duplicate):
        return InputError(f"gives the key {value.key!r} twice", file=file, row=row, field=field, fix="keep one of them")
    return InputError(
        "not a finite number of 64 bits",
        file=file,
        row=row,
        field=field,
        expected="a finite number",
        got=value,
        fix="correct the file",
    )


def _half_character(content: Any, file: str | Path | None, row: int | None) -> InputError:
    """Describe the first text of a document that is no complete text, located as any refused value is."""
    path, text = next(_broken_texts(content, ()))
    row, field = _place(path, row)
    return InputError(
        "holds half of a surrogate pair",
        file=file,
        row=row,
        field=field,
        expected="complete characters",
        got=text,
        fix="write the character in full, or remove it",
    )


def _place(path: tuple[str | int, ...], row: int | None) -> tuple[int | None, str | None]:
    """Row and field of a value; the list index is the row where the document is a list of records."""
    if row is None and path and isinstance(path[0], int):
        row, path = path[0], path[1:]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return row, field or None


def _broken_texts(content: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(content, str):
        if not content.isascii() and content != content.encode("utf-8", "ignore").decode("utf-8"):
            yield path, content
    elif isinstance(content, dict):
        for key, value in content.items():
            for _, text in _broken_texts(key, path):
                yield path, text  # a broken name cannot be printed as one
            yield from _broken_texts(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _broken_texts(value, (*path, index))


def _refused_values(content: Any, path: tuple[str | int, ...]) -> Any:
    if isinstance(content, _Duplicate) or (isinstance(content, float) and not math.isfinite(content)):
        yield path, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _refused_values(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _refused_values(value, (*path, index))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _RefusedError
    return content


def _unique_keys_or_mark(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Duplicate:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Duplicate(key)
        seen.add(key)
    return dict(pairs)


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _RefusedError
    return value


def _integer(literal: str) -> int:
    # The length is looked at first: turning a million digits into a number takes minutes.
    if len(literal) > 20 or abs(value := int(literal)) >= LARGEST_INTEGER:
        raise _RefusedError
    return value


def _integer_or_infinity(literal: str) -> int | float:
    try:
        return _integer(literal)
    except _RefusedError:
        return math.inf


def _no_constant(_literal: str) -> float:
    raise _RefusedError


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_float=_finite, parse_int=_integer, parse_constant=_no_constant
)
_LENIENT = json.JSONDecoder(object_pairs_hook=_unique_keys_or_mark, parse_int=_integer_or_infinity)
