"""Reading the key of a questionnaire: for each item its trait, facet, direction and wording."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_csv_rows
from files.whole_numbers import whole_number
from files.workbook_size import check_workbook_size
from personas.questionnaire import Item
from personas.traits import FACET_KEYS, TRAIT_OF_LETTER

WORKBOOKS = (".xls", ".xlsx", ".ods")
KEY_COLUMNS = ("Full#", "Sign", "Key", "Item")
LIST_COLUMNS = ("text", "label_ocean", "key")
_SIGNED = re.compile(r"([+-])([A-Z]\d*)")

Row = tuple[int, Mapping[str, Any]]


def read_item_key(path: str | Path, order: Sequence[int] = ()) -> dict[int, Item]:
    """Read an item key: a workbook (.xls, .xlsx) or a table (.csv).

    Two forms are known. `Full#, Short#, Sign, Key, Facet, Item`, where the sign is such as `+N1`; and `label_raw, text,
    label_ocean, key`, where the key is 1 or -1 and the rows are in the order of the split.

    Args:
        path: The file.
        order: Numbers of the items in the order of the split, for the second form; without it they count from 1.

    Returns:
        The items by number.

    Raises:
        InputError: If the file cannot be read, a column is missing, an item has no sign, no known trait or no wording,
            or an item is there twice.
    """
    rows = _workbook_rows(path) if Path(path).suffix.lower() in WORKBOOKS else read_csv_rows(path)
    items: dict[int, Item] = {}
    texts: dict[str, int] = {}
    for place, (row, record) in enumerate(rows, start=1):
        numbered = "Full#" in record
        _check_columns(record, KEY_COLUMNS if numbered else LIST_COLUMNS, path, row)
        item = _keyed_item(record, path, row) if numbered else _listed_item(record, place, order, path, row)
        if item.number in items:
            raise _fault("is there twice", path, row, "Full#", "every item once", item.number)
        if item.text.lower() in texts:
            field = "Item" if numbered else "text"
            expected = f"a wording of its own; item {texts[item.text.lower()]} has the same"
            raise _fault("is there twice", path, row, field, expected, item.text)
        items[item.number] = item
        texts[item.text.lower()] = item.number
    if not items:
        raise InputError("holds no item", file=path, expected="a row for each item", fix="fetch the file again")
    return items


def _keyed_item(record: Mapping[str, Any], path: str | Path, row: int) -> Item:
    """An item of the first form."""
    sign = str(record["Sign"]).strip().replace("\u2212", "-")
    match = _SIGNED.fullmatch(sign)
    if match is None:
        raise _fault("has no sign", path, row, "Sign", "+ or - and the key, such as +N1", record["Sign"])
    key = str(record["Key"]).strip()
    if match.group(2) != key:
        raise _fault("has another key than its sign", path, row, "Key", match.group(2), record["Key"])
    return Item(
        number=_number(record["Full#"], path, row, "Full#"),
        text=_statement(record["Item"], path, row, "Item"),
        trait=_trait(key[:1], path, row, "Key", record["Key"]),
        key=1 if match.group(1) == "+" else -1,
        facet=FACET_KEYS.get(key) or str(record.get("Facet") or "").strip().lower() or None,
        short=_number(short, path, row, "Short#") if (short := record.get("Short#")) not in (None, "") else None,
    )


def _listed_item(record: Mapping[str, Any], place: int, order: Sequence[int], path: str | Path, row: int) -> Item:
    """An item of the second form."""
    if order and place > len(order):
        raise _fault("has more items than the split", path, row, "text", f"{len(order)} items", record["text"])
    direction = str(record["key"]).strip().removesuffix(".0")
    if direction not in ("1", "+1", "-1"):
        raise _fault("has no sign", path, row, "key", "1 or -1", record["key"])
    facet = str(record.get("label_raw") or "").strip().lower()
    return Item(
        number=order[place - 1] if order else place,
        text=_statement(record["text"], path, row, "text"),
        trait=_trait(str(record["label_ocean"]).strip(), path, row, "label_ocean", record["label_ocean"]),
        key=-1 if direction == "-1" else 1,
        facet=facet or None,
        short=None,
    )


def _statement(value: object, path: str | Path, row: int, field: str) -> str:
    text = str(value if value is not None else "").strip()
    if not text:
        raise _fault("is empty", path, row, field, "a statement", value)
    return text if text[-1] in ".!?" else f"{text}."


def _trait(letter: str, path: str | Path, row: int, field: str, value: object) -> str:
    if letter not in TRAIT_OF_LETTER:
        raise _fault("names no known trait", path, row, field, f"a letter of {''.join(TRAIT_OF_LETTER)}", value)
    return TRAIT_OF_LETTER[letter]


def _number(value: object, path: str | Path, row: int, field: str) -> int:
    """A whole number above 0, as text or as the fraction that workbooks keep it as."""
    number = whole_number(str(value).strip().removesuffix(".0"))
    if not number:
        raise _fault("is no item number", path, row, field, "a whole number from 1", value)
    return number


def _check_columns(record: Mapping[str, Any], needed: Sequence[str], path: str | Path, row: int) -> None:
    missing = [name for name in needed if name not in record]
    if missing:
        expected = f"the columns {', '.join(KEY_COLUMNS)} or {', '.join(LIST_COLUMNS)}"
        raise _fault("lacks a column", path, row, missing[0], expected, list(record))


def _workbook_rows(path: str | Path) -> Iterator[Row]:
    """Rows of the first sheet below its header, numbered as a spreadsheet shows them."""
    if not Path(path).is_file():
        raise InputError("does not exist", file=path, expected="a workbook", fix="check the path")
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise InputError(
            "cannot be read without an extra package",
            file=path,
            expected="python-calamine",
            fix="pip install 'oceantune[excel]', or save the sheet as .csv and name that file",
        ) from error
    check_workbook_size(path)
    try:
        table = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
    except BaseException as error:
        # What the library, in another language, did not expect of a damaged file is no Exception to Python.
        if not isinstance(error, CalamineError | OSError | ValueError) and type(error).__name__ != "PanicException":
            raise
        raise InputError(
            "cannot be read as a workbook",
            file=path,
            expected="an .xls or .xlsx file",
            got=str(error),
            fix="fetch the file again, or save the sheet as .csv and name that file",
        ) from error
    header = [str(name).strip() for name in table[0]] if table else []
    for row, values in enumerate(table[1:], start=2):
        if any(value not in ("", None) for value in values):
            yield row, dict(zip(header, values, strict=False))


def _fault(problem: str, path: str | Path, row: int, field: str, expected: str, got: object) -> InputError:
    return InputError(problem, file=path, row=row, field=field, expected=expected, got=got, fix="correct the item key")
