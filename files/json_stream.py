"""Reading a long JSON list of records one by one, so that a file of any size needs the memory of one record."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.strict_json import parse_json

CHUNK = 1 << 16
LONGEST_RECORD = 1 << 24
_SPACE = re.compile(r"[ \t\r\n]*")
# It only finds where a record ends; numbers, of any length, are looked at when the record is parsed.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def read_json_records(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a file that holds one list of objects (UTF-8), one object at a time.

    Yields:
        Index from 0, and the object.

    Raises:
        InputError: The file is missing or unreadable, not UTF-8 (byte offset given), no list of objects, cut off, or an
            object is not acceptable JSON (see `files.strict_json.parse_json`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "people.json")
    ...     _ = file.write_text('[{"case": 1, "note": "]{"}, {"case": 2}]')
    ...     list(read_json_records(file))
    [(0, {'case': 1, 'note': ']{'}), (1, {'case': 2})]
    """
    text = _Window(path)
    if text.next_mark() != "[":
        raise text.error("is not a list", expected="a list of objects, [{...}, ...]")
    text.skip(1)
    index = 0
    while (mark := text.next_mark()) != "]":
        if index and mark != ",":
            raise text.error("is not a list of objects", expected="a comma or the end of the list", row=index)
        if index:
            text.skip(1)
            mark = text.next_mark()
        if mark != "{":
            raise text.error("is not an object", expected="an object, {...}", row=index)
        yield index, _record(text.take_object(index), path, index)
        index += 1
    text.skip(1)
    if text.next_mark():
        raise text.error("goes on after the end of its list", expected="one list and nothing after it")


def _record(source: str, path: str | Path, index: int) -> dict[str, Any]:
    """Parse one object strictly; its place in the file is its index, since lines are counted for whole files only."""
    try:
        return parse_json(source, file=path, row=index)
    except InputError as error:
        error.row = index
        raise


class _Window:
    """The part of a file that is being looked at."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.buffer = ""
        self.place = 0
        self._chunks = self._decoded()

    def next_mark(self) -> str:
        """The next character that is no white space, which stays in place; empty at the end of the file."""
        while True:
            match = _SPACE.match(self.buffer, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self.buffer):
                return self.buffer[self.place]
            if not self._more():
                return ""

    def skip(self, characters: int) -> None:
        """Go past characters that have been looked at."""
        self.place += characters

    def take_object(self, index: int) -> str:
        """The object that begins here, brackets included."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self.buffer, self.place)
            except (json.JSONDecodeError, RecursionError) as error:
                # A record that is cut off looks like a faulty one, so more is read before it is called faulty.
                if isinstance(error, RecursionError) or len(self.buffer) - self.place > LONGEST_RECORD:
                    raise self.error("is nested too deeply or too long", "a record of the usual size", index) from error
                if not self._more():
                    raise self.error(f"is not JSON, or the file ends inside of it: {error.msg}", row=index) from error
            else:
                source, self.place = self.buffer[self.place : end], end
                return source

    def error(self, problem: str, expected: str | None = None, row: int | None = None) -> InputError:
        """An error about what stands here."""
        found = self.buffer[self.place : self.place + 40] or "end of file"
        return InputError(
            problem, file=self.path, row=row, expected=expected, got=found, fix="fetch or write the file again"
        )

    def _more(self) -> bool:
        """Read on, and let go of what was taken; False at the end of the file."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self.buffer, self.place = self.buffer[self.place :] + chunk, 0
        return True

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        offset = 0
        try:
            with Path(self.path).open("rb") as stream:
                while content := stream.read(CHUNK):
                    yield decoder.decode(content)
                    offset += len(content)
                yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise InputError(
                f"is not UTF-8 text near byte {offset + error.start}",
                file=self.path,
                expected="UTF-8",
                got=error.object[error.start : error.start + 8],
                fix="convert the file to UTF-8",
            ) from error
        except OSError as error:
            raise InputError(
                "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read",
                file=self.path,
                expected="a file",
                got=error.strerror or str(error),
                fix="check the path and its permissions",
            ) from error
