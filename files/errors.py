"""The one error that a user can cause, and how a program ends on it."""

from __future__ import annotations

import errno
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from typing import NoReturn

LONGEST_VALUE = 80
LONGEST_PART = 1500
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
# What the system refuses because of what the user has named, or of the state of the machine.
_OF_THE_SYSTEM = "ENAMETOOLONG ELOOP ENOTDIR EISDIR EACCES EPERM EROFS ENOSPC EDQUOT EFBIG EIO".split()
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
            where.append(f"row {self.row}" if isinstance(self.row, int) else cut(self.row))
        if self.field is not None:
            where.append(f"field {cut(self.field)!r}")
        problem = cut(self.problem)
        lines = [f"{', '.join(where)}: {problem}" if where else problem]
        if self.expected is not None:
            lines.append(f"  expected: {cut(self.expected)}")
        if self._has_got:
            lines.append(f"  got: {shortened(self.got)}")
        if self.fix is not None:
            lines.append(f"  next step: {cut(self.fix)}")
        return "\n".join(lines)


def cut(text: str, longest: int = LONGEST_PART) -> str:
    """A text without its middle, where it is longer than anybody reads; files name things at any length.

    >>> cut("short"), cut("x" * 500, longest=9)
    ('short', 'xxx...xxx')
    """
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"


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
    return cut(text, longest)


def check_at_least(option: str, value: float, least: float) -> None:
    """Refuse an option that is too small, or not a number.

    Args:
        option: Its name as the user types it.
        value: What was given.
        least: The smallest value that means something.

    Raises:
        InputError: If it is smaller.

    Example:
        >>> check_at_least("model.init_args.rank", 1, 1)
    """
    if math.isnan(value):
        raise InputError("is not a number", field=option, expected="a number", got=value, fix="correct it")
    if value < least:
        raise InputError("is too small", field=option, expected=f"at least {least}", got=value, fix="raise it")


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """End on an `InputError` with its message and exit code 2, on Ctrl-C with exit code 130, both without a traceback.

    For entry points only, as a `with` block or as a decorator (`@exit_on_input_error()`). Parsers of command lines turn
    an `InputError` of a constructor into a `ValueError` of theirs; it is found behind that one. So is what the system
    refuses for a reason of its own: a name too long, a disk that is full, a file that may not be read. Any other
    exception is a fault of this program and keeps its traceback.

    Raises:
        SystemExit: With code 2 or 130.
    """
    try:
        yield
    except InputError as error:
        _end(error)
    except ValueError as error:
        inner = input_error_behind(error)
        if inner is None:
            raise
        _end(inner)
    except OSError as error:
        if error.errno not in {getattr(errno, name, None) for name in _OF_THE_SYSTEM}:
            raise
        _end(refused_by_system(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(EXIT_INTERRUPTED) from None


def refused_by_system(error: OSError) -> InputError:
    """An error of the system as one that the user can do something about.

    Args:
        error: What the system said.

    >>> print(refused_by_system(OSError(errno.ENOSPC, "No space left on device", "runs/a.txt")))
    runs/a.txt: cannot be written
      expected: a disk with space left
      got: 'No space left on device'
      next step: free some space, then run the same command again
    """
    full = error.errno in _FULL
    return InputError(
        "cannot be written" if full else "cannot be used",
        file=None if error.filename is None else str(error.filename),
        expected="a disk with space left" if full else "a file or folder that the system can open",
        got=error.strerror or str(error),
        fix="free some space, then run the same command again" if full else "check the path and its permissions",
    )


def input_error_behind(error: BaseException) -> InputError | None:
    """The `InputError` that another exception was raised for, None if there is none.

    Looks at the exceptions that this one names as its cause or context. Where a parser has tried several types for a
    value, it names the fault of the first type only and drops the others, so those are taken from where it kept them
    while it raised.

    Args:
        error: What was caught.

    Example:
        >>> try:
        ...     raise ValueError("cannot be built") from InputError("bad", field="size")
        ... except ValueError as error:
        ...     print(input_error_behind(error))
        field 'size': bad
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if isinstance(found, InputError):
            return found
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        waiting += [*_tried(found), found.__context__, found.__cause__]
    return None


def _tried(error: BaseException) -> list[BaseException]:
    """Exceptions in a list of the function that raised this one, the first of them last."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    kept = [] if trace is None else [value for value in trace.tb_frame.f_locals.values() if isinstance(value, list)]
    return [item for values in kept for item in reversed(values) if isinstance(item, BaseException)]


def _end(error: InputError) -> NoReturn:
    sys.stderr.write(f"error: {error}\n")
    raise SystemExit(EXIT_BAD_INPUT) from None
