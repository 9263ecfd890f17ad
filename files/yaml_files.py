"""YAML files of settings, read without running or believing anything in them, with every refusal located."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from files.errors import InputError
from files.readers import read_text

LARGEST = 1 << 24
"""Most characters of a file."""

DEEPEST, MOST_VALUES = 100, 1_000_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SETTINGS_OPTIONS = ("--config", "-c", "--model", "--data", "--trainer")


def read_yaml(
    path: str | Path,
    *,
    field: str | None = None,
    problem: str = "cannot be read",
    expected: str = "a YAML file",
    fix: str = "",
) -> Any:
    """Read a YAML file (UTF-8): plain values, lists and mappings, and nothing that makes objects or runs code.

    Args:
        path: The file.
        field: The option that named it, for errors.
        problem: What is wrong with a file that is none, for errors; the reason follows.
        expected: What the file should have been, for errors.
        fix: The next step, for errors.

    Raises:
        InputError: The file is missing, unreadable, no UTF-8 or no YAML, has a tag of a program's own, is nested more
            than a hundred levels deep, or is small but means millions of values by referring to its own parts.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.yaml")
    ...     _ = file.write_text("a: !!python/object/apply:os.system [ls]")
    ...     read_yaml(file)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    files.errors.InputError: ...a.yaml, line 1, column 4: cannot be read: could not determine a constructor ...
    """
    fix = fix or "correct it, or give another file"
    try:
        text = read_text(path)
    except InputError as error:
        error.problem = f"{problem}: {error.problem}"
        error.field, error.fix = error.field or field, fix
        raise
    if len(text) > LARGEST:
        raise InputError(problem, file=path, field=field, expected=expected, got=f"{len(text)} characters", fix=fix)
    row: str | None = None
    try:
        _check_shape(text)
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        row = None if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        reason = str(error.problem or error.context)
        if "nesting depth" in reason:  # the parser's own limit; it looks ahead and may find it first
            reason = "nested too deeply"
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
    raise InputError(f"{problem}: {reason}", file=path, row=row, field=field, expected=expected, fix=fix)


def check_settings_files(arguments: Sequence[str]) -> None:
    """Read the settings files that a command line names, before a parser does that says less about what is wrong.

    Args:
        arguments: The command line; options whose value is no file are left to the parser.

    Raises:
        InputError: As in `read_yaml`; the option is named.
    """
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in _SETTINGS_OPTIONS:
            value = value if equals else "".join(arguments[place + 1 : place + 2])
            if Path(value).suffix and Path(value).is_file():
                read_yaml(value, field=option, expected="a settings file (YAML)")


def _check_shape(text: str) -> None:
    """Refuse what is too deep for any parser, or grows beyond measure once its references are followed."""
    sizes: dict[str, int] = {}
    open_parts: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=_LOADER):
        total += 1
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_parts.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_parts.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if len(open_parts) > DEEPEST or total > MOST_VALUES:
            problem = "nested too deeply" if len(open_parts) > DEEPEST else "more than a million values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
