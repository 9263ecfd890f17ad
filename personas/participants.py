"""Reading people's answers from published tables, one person at a time, and the descriptions written of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from files.errors import InputError
from files.json_stream import read_json_records
from files.readers import read_csv_rows, read_json, read_json_lines, require_list
from files.records import is_hub, read_records
from personas.questionnaire import Item, Participant

Numbering = Literal["auto", "full", "short"]
CASE = "case"
_ANSWERS: dict[Any, int] = {**{n: n for n in range(6)}, **{text: n for n in range(6) for text in (str(n), f"{n}.0")}}
_EXPECTED = "a whole number from 0 to 5, where 0 means not answered"


def read_participants(path: str | Path, items: Sequence[Item], numbering: Numbering = "auto") -> Iterator[Participant]:
    """Read people from a table with the columns `case` and `i1`, `i2`, ...; only one person is held at a time.

    Args:
        path: A JSON list, JSON Lines (.jsonl), a table (.csv) or a data set of the hub, `hub:owner/name`.
        items: The items whose answers are wanted, in this order.
        numbering: Whether the columns count the items of the full or of the short form; `auto` takes the full form's
            numbers where the first row has all of them.

    Yields:
        The people in the order of the table.

    Raises:
        InputError: If the table is faulty, a person lacks a column, an answer is no whole number from 0 to 5, a person
            has answered none of the items, or one is there twice.
    """
    columns: list[str] = []
    seen: set[str] = set()
    for position, (row, record) in enumerate(_records(path)):
        columns = columns or _columns(items, record, numbering, path, row)
        case = _case(record, path, row)
        if case in seen:
            raise _fault("is there twice", path, row, CASE, "every person once", case)
        seen.add(case)
        answers = [_ANSWERS.get(_plain(record.get(column)), -1) for column in columns]
        if -1 in answers:
            raise _faulty_answer(record, columns[answers.index(-1)], path, row)
        if not any(answers):
            raise _fault(
                "has answered none of the items", path, row, f"{columns[0]} ...", "some answers from 1 to 5", case
            )
        yield Participant(case, position, bytes(answers))


def read_descriptions(path: str | Path, people: Sequence[Participant]) -> dict[str, str]:
    """Read the descriptions that an LLM has written of people.

    Args:
        path: A JSON list of objects whose `output` begins with the text; with a `case` they are found by it, without
            one the list is in the order of the people's table.
        people: Whose descriptions are wanted.

    Returns:
        From case to description.

    Raises:
        InputError: If the file is faulty or lacks a person.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(
            "is not a list", file=path, expected="a list of objects with `output`", got=content, fix="correct the file"
        )
    texts: dict[str, str] = {}
    for row, record in enumerate(content):
        try:
            text = require_list(record, "output", str, file=path, row=row)[0]
        except InputError as error:
            error.fix = "correct the file, or leave out the method that needs it"
            raise
        texts[str(record[CASE]) if CASE in record else f"position {row}"] = text
    found = {}
    for person in people:
        names = [name for name in (person.case, f"position {person.position}") if name in texts]
        if not names:
            raise InputError(
                "lacks a person",
                file=path,
                field=CASE,
                expected=f"a description of case {person.case} (row {person.position} of the table)",
                got=f"{len(texts)} others",
                fix="give the file that belongs to this table, or leave this method out",
            )
        found[person.case] = texts[names[0]]
    return found


def _records(path: str | Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if is_hub(path):
        return read_records(path)
    kind = Path(path).suffix.lower()
    if kind == ".csv":
        return read_csv_rows(path)
    return read_json_lines(path) if kind == ".jsonl" else read_json_records(path)


def _columns(
    items: Sequence[Item], record: Mapping[str, Any], numbering: Numbering, path: str | Path, row: int
) -> list[str]:
    """The column of each item, as the first row shows them."""
    full = [f"i{item.number}" for item in items]
    short = [f"i{item.short}" for item in items if item.short is not None]
    lacking = [column for column in full if column not in record]
    if numbering == "full" or (numbering == "auto" and not lacking):
        return full
    if len(short) == len(items) and all(column in record for column in short):
        return short
    if numbering == "short":
        unnumbered = [item for item in items if item.short is None]
        lacking = [f"item {unnumbered[0].number}"] if unnumbered else [c for c in short if c not in record]
    raise _fault(
        "lacks the column of an item",
        path,
        row,
        lacking[0],
        f"a column for each of the {len(items)} items of the split",
        f"{len(record)} columns, the last of them {list(record)[-1] if record else 'none'}",
    )


def _case(record: Mapping[str, Any], path: str | Path, row: int) -> str:
    case = record.get(CASE)
    if isinstance(case, bool) or not isinstance(case, int | str) or not str(case).strip():
        raise _fault("has no number", path, row, CASE, "a number or a name", case)
    return str(case).strip()


def _plain(value: Any) -> Any:
    """A value that can be looked up; true and false are no numbers."""
    if isinstance(value, str):
        return value.strip()
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _faulty_answer(record: Mapping[str, Any], column: str, path: str | Path, row: int) -> InputError:
    if column not in record:
        return _fault("lacks the column of an item", path, row, column, _EXPECTED, f"{len(record)} other columns")
    return _fault("is no answer", path, row, column, _EXPECTED, record[column])


def _fault(problem: str, path: str | Path, row: int, field: str, expected: str, got: object) -> InputError:
    return InputError(problem, file=path, row=row, field=field, expected=expected, got=got, fix="correct the table")
