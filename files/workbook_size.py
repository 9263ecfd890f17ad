"""What a packed workbook would grow to, found out before a library unpacks it."""

from __future__ import annotations

import re
import zipfile
from copy import copy
from pathlib import Path

from files.errors import InputError

MOST_BYTES = 1 << 26
"""Most bytes of all parts together; an item key of 300 items takes less than a thousandth."""

MOST_CELLS = 1 << 20
"""Most cells of a sheet, from the first to the last one that is named, whether anything is between them or not."""

_CHUNK = 1 << 16
_CELL = re.compile(rb'\br\s*=\s*["\']\$?([A-Za-z]{0,8})\$?(\d{1,12})')
_LONGEST_CELL = 64


def check_workbook_size(path: str | Path) -> None:
    """Refuse a workbook that is small on the disk and huge in memory.

    Sizes that a packed file declares need not be true, so it is unpacked once, piece by piece, and nothing kept.

    Args:
        path: A workbook; one that is not packed (.xls) holds nothing that could grow.

    Raises:
        InputError: Its parts are too large, it names a cell far away, or it is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(path) as packed:
            for part in packed.infolist():
                left = _unpacked(packed, part, left, path)
    except InputError:
        raise
    except Exception as error:  # there is no end to what a damaged file can make the reader raise
        raise InputError(
            "cannot be read as a workbook",
            file=path,
            expected="an .xls or .xlsx file",
            got=str(error) or type(error).__name__,
            fix="fetch the file again, or save the sheet as .csv and name that file",
        ) from error


def _unpacked(packed: zipfile.ZipFile, part: zipfile.ZipInfo, left: int, path: str | Path) -> int:
    """What is left of the bytes allowed after one part."""
    believed = copy(part)
    believed.file_size = left + 1  # instead of the size that it declares, at which reading would stop
    del believed.CRC  # is that of the declared size, and no matter here
    tail = b""
    with packed.open(believed) as stream:
        while chunk := stream.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise _too_large(path, f"at most {MOST_BYTES >> 20} MB unpacked", "more")
            if part.filename.startswith("xl/worksheets/"):
                text = tail + chunk
                _check_cells(text, path)
                tail = text[-_LONGEST_CELL:]
    return left


def _check_cells(text: bytes, path: str | Path) -> None:
    for letters, digits in _CELL.findall(text):
        column = 0
        for letter in letters.upper():
            column = 26 * column + letter - 64
        if int(digits) * max(1, column) > MOST_CELLS:
            raise _too_large(path, f"at most {MOST_CELLS} cells of a sheet", f"cell {(letters + digits).decode()}")


def _too_large(path: str | Path, expected: str, got: str) -> InputError:
    return InputError(
        "is a workbook that would take far too much memory",
        file=path,
        expected=expected,
        got=got,
        fix="save the sheet with the items alone, or as .csv, and name that file",
    )
