"""The one error that a user can cause, and how a program ends on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr

LONGEST_VALUE = 80
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class _Unset:
    """Tells "nothing came" from "None came"."""


_UNSET = _Unset()


class InputError(Exception):
    """Something the user gave is wrong: a file, a record, an option, a folder.

    The message says where, what is wrong, what was expected, what came and what to do next; the parts stay readable as
    attributes.

    Args:
        problem: What is wrong, as a clause without a final stop.
        file: The file or folder it is about.
        row: Position of the record: a line number or an index, counted as the reader documents it, or a phrase.
        field: The key, column or option as the user typed it.
        expected: What would have been right.
        got: What came instead; its `repr` is shown, cut to 80 characters. Leave it out where nothing came.
        fix: The next step for the user.

    >>> print(InputError("wrong type", file="a.json", row=3, field="ent", expected="text", got=7, fix="quote it"))
    a.json, row 3, field 'ent': wrong type
      expected: text
      got: 7
      next step: quote it
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        row: int | str | None = None,
        field: str | None = None,
        expected: str | None = None,
        got: object = _UNSET,
        fix: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = file
        self.row = row
        self.field = field
        self.expected = expected
        self.got = None if got is _UNSET else got
        self.fix = fix
        self._has_got = got is not _UNSET

    def __str__(self) -> str:
        """The whole message, over one to four lines."""
        where = [str(self.file)] if self.file is not None else []
        if self.row is not None:
            where.append(f"row {self.row}" if isinstance(self.row, int) else self.row)
        if self.field is not None:
            where.append(f"field {self.field!r}")
        lines = [f"{', '.join(where)}: {self.problem}" if where else self.problem]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self._has_got:
            lines.append(f"  got: {shortened(self.got)}")
        if self.fix is not None:
            lines.append(f"  next step: {self.fix}")
        return "\n".join(lines)


def shortened(value: object, longest: int = LONGEST_VALUE) -> str:
    """The `repr` of a value, cut in its middle to at most `longest` characters.

    Large containers are never rendered whole, so a message about a broken record of a big file stays cheap.

    >>> shortened("short")
    "'short'"
    >>> shortened("x" * 500, longest=20)
    "'xxxxxxx...xxxxxxxx'"
    """
    limits = Repr()
    limits.maxstring = limits.maxother = limits.maxlong = longest
    limits.maxdict = limits.maxlist = limits.maxtuple = limits.maxset = 10
    text = limits.repr(value).replace("\n", " ")
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """End on an `InputError` with its message and exit code 2, on Ctrl-C with exit code 130, both without a traceback.

    For entry points only, as a `with` block or as a decorator (`@exit_on_input_error()`). Any other exception is a
    fault of this program and keeps its traceback.

    Raises:
        SystemExit: With code 2 or 130.
    """
    try:
        yield
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(EXIT_BAD_INPUT) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(EXIT_INTERRUPTED) from None
