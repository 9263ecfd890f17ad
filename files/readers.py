"""Reading data files so that every fault is reported with its place, and nothing read is ever executed.

Rows of JSON Lines and CSV are counted as an editor shows them, lines from 1; records of a JSON list by their index
from 0.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from files.errors import InputError
from files.strict_json import parse_json

T = TypeVar("T")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
KIND_NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def read_json(path: str | Path) -> Any:
    """Read a whole JSON file (UTF-8, with or without byte order mark).

    Raises:
        InputError: The file is missing or unreadable, not UTF-8 (byte offset given), or not acceptable JSON (see
            `files.strict_json.parse_json`).
    """
    return parse_json(read_text(path), file=path)


def read_text(path: str | Path) -> str:
    """Read a whole text file (UTF-8, with or without byte order mark).

    Raises:
        InputError: The file is missing or unreadable, or not UTF-8 (byte offset given).
    """
    try:
        check_ends(path)
        content = Path(path).read_bytes()
    except OSError as error:
        raise _read_error(path, error) from error
    return _decoded(content.removeprefix(BYTE_ORDER_MARK), path, _mark_length(content))


def check_ends(path: str | Path) -> None:
    """Refuse a device, such as /dev/zero, which may never end; nothing is said of a file that is not there.

    Raises:
        InputError: It is a device.
    """
    with suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise InputError("is a device", file=path, expected="a file", fix="give the path of a file")


def read_json_lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file with one JSON object per line, one line at a time; blank lines are skipped.

    Yields:
        Line number from 1, and the object.

    Raises:
        InputError: As in `read_json`, or a line holds something other than an object.
    """
    for number, line in _lines(path):
        if line.strip():
            content = parse_json(line, file=path, row=number)
            if not isinstance(content, dict):
                raise InputError(
                    "is not a JSON object",
                    file=path,
                    row=number,
                    expected="one JSON object per line",
                    got=content,
                    fix="write each record on a line of its own",
                )
            yield number, content


def read_csv_rows(path: str | Path, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table whose first line names the columns, one row at a time; blank lines are skipped.

    Yields:
        Number of the line on which the row begins (the header is line 1), and column name -> text.

    Raises:
        InputError: The file is missing, unreadable, empty or not UTF-8, a column name occurs twice, a quote is not
            closed, or a row has more or fewer fields than the header.
    """
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    begins = 1
    try:
        for fields in reader:
            if fields and header is None:
                header = _checked_header(fields, path)
            elif fields and header is not None:
                if len(fields) != len(header):
                    raise InputError(
                        "has another number of fields than the header",
                        file=path,
                        row=begins,
                        expected=f"{len(header)} fields",
                        got=len(fields),
                        fix="put text that contains the delimiter in quotes",
                    )
                yield begins, dict(zip(header, fields, strict=True))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"is not a readable table: {error}", file=path, row=begins, fix="check the quotes") from error
    if header is None:
        raise InputError(
            "is empty", file=path, expected="a line with column names, then rows", fix="fetch the file again"
        )


def read_text_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Read a text file (UTF-8) line by line, without the line ends.

    Yields:
        Line number from 1, and the line.

    Raises:
        InputError: The file is missing, unreadable or not UTF-8.
    """
    for number, line in _lines(path):
        yield number, line.rstrip("\r\n")


def require(
    record: Mapping[str, Any],
    field: str,
    kind: type[T],
    *,
    file: str | Path,
    row: int | str | None = None,
    allow_empty: bool = False,
) -> T:
    """Take one field out of a record, checked.

    Args:
        record: What was read.
        field: The key.
        kind: `str`, `int`, `float` (whole numbers are accepted and converted), `bool`, `list` or `dict`. True and false
            are not numbers here.
        file: Named in errors.
        row: Named in errors.
        allow_empty: Whether an empty list or object, or text of white space alone, is acceptable.

    Returns:
        The value.

    Raises:
        InputError: The record is not an object, lacks the field, or the value has another type or is empty.

    >>> require({"ent": "Tea"}, "ent", str, file="a.json", row=0)
    'Tea'
    >>> require({"ent": 7}, "ent", str, file="a.json", row=0)
    Traceback (most recent call last):
    ...
    files.errors.InputError: a.json, row 0, field 'ent': has the wrong type
      expected: text
      got: 7
    """
    if not isinstance(record, Mapping):
        raise InputError("is not an object", file=file, row=row, expected=f"an object with {field!r}", got=record)
    if field not in record:
        raise InputError(
            "is missing", file=file, row=row, field=field, expected=_kind_name(kind), got=sorted(map(str, record))
        )
    return _checked(record[field], field, kind, file=file, row=row, allow_empty=allow_empty)


def require_list(
    record: Mapping[str, Any],
    field: str,
    kind: type[T],
    *,
    file: str | Path,
    row: int | str | None = None,
    allow_empty: bool = False,
) -> list[T]:
    """Take a list out of a record and check each of its items as `require` checks one value.

    Raises:
        InputError: As in `require`; a faulty item is named by its position, as in `extraversion[2]`. `allow_empty` is
            about the list; an empty item is always refused.

    >>> require_list({"extraversion": ["Yes", " "]}, "extraversion", str, file="a.json", row=4)
    Traceback (most recent call last):
    ...
    files.errors.InputError: a.json, row 4, field 'extraversion[1]': is empty
      expected: text that is not empty
      got: ' '
    """
    items = require(record, field, list, file=file, row=row, allow_empty=allow_empty)
    return [_checked(item, f"{field}[{index}]", kind, file=file, row=row) for index, item in enumerate(items)]


def _checked(
    value: Any, field: str, kind: type[T], *, file: str | Path, row: int | str | None, allow_empty: bool = False
) -> T:
    accepted: type | tuple[type, ...] = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError("has the wrong type", file=file, row=row, field=field, expected=_kind_name(kind), got=value)
    empty = isinstance(value, str | list | dict) and not (value.strip() if isinstance(value, str) else value)
    if empty and not allow_empty:
        expected = f"{_kind_name(kind)} that is not empty"
        raise InputError("is empty", file=file, row=row, field=field, expected=expected, got=value)
    return cast(T, float(cast(int, value)) if kind is float else value)


def _kind_name(kind: type) -> str:
    return KIND_NAMES.get(kind, kind.__name__)


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines from 1, decoded one by one so that the offset of a bad byte is that in the file."""
    try:
        check_ends(path)
        with Path(path).open("rb") as stream:
            offset = 0
            for number, line in enumerate(stream, start=1):
                skipped = _mark_length(line) if number == 1 else 0
                yield number, _decoded(line[skipped:], path, offset + skipped, number)
                offset += len(line)
    except OSError as error:
        raise _read_error(path, error) from error


def _mark_length(content: bytes) -> int:
    return len(BYTE_ORDER_MARK) if content.startswith(BYTE_ORDER_MARK) else 0


def _decoded(content: bytes, path: str | Path, offset: int, row: int | None = None) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1 if row is None else row
        raise InputError(
            f"is not UTF-8 text at byte {offset + error.start}",
            file=path,
            row=f"line {line}",
            expected="UTF-8",
            got=content[error.start : error.start + 8],
            fix="convert the file to UTF-8",
        ) from error


def _checked_header(fields: list[str], path: str | Path) -> list[str]:
    repeated = sorted({name for name in fields if fields.count(name) > 1})
    if repeated:
        raise InputError("has a column name twice", file=path, row=1, expected="names that differ", got=repeated)
    return fields


def _read_error(path: str | Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("does not exist", file=path, expected="a file", fix="check the path")
    if isinstance(error, IsADirectoryError):
        return InputError("is a folder", file=path, expected="a file", fix="name a file inside it")
    return InputError(
        "cannot be read", file=path, got=error.strerror or str(error), fix="check the path and its permissions"
    )
