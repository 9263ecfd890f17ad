"""Figures as the README shows them: numbers, intervals and tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json

DASH = "-"

Row = Sequence[str]


def figure(value: Any) -> str:
    """A number as the README shows it; several numbers as their range; anything else as a dash.

    >>> figure(0.70311), figure(0.00001234), figure(1200.5), figure(None)
    ('0.703', '1.2e-05', '1200', '-')
    >>> figure({"openness": 0.41, "extraversion": 0.58})
    '0.410 to 0.580'
    """
    if isinstance(value, dict) and value:
        values = [one for one in value.values() if is_number(one)]
        return f"{figure(min(values))} to {figure(max(values))}" if values else DASH
    if not is_number(value):
        return DASH
    if value == 0 or 0.001 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1e}"


def with_interval(value: Any, low: Any, high: Any) -> str:
    """A number with its interval, where it has one.

    >>> with_interval(0.7, 0.68, 0.72), with_interval(0.7, None, None)
    ('0.700 [0.680, 0.720]', '0.700')
    """
    if is_number(value) and is_number(low) and is_number(high):
        return f"{figure(value)} [{figure(low)}, {figure(high)}]"
    return figure(value)


def table(header: Row, rows: Sequence[Row]) -> str:
    """A Markdown table; no cell may hold a vertical bar.

    >>> print(table(("a", "b"), [("1", "x")]))
    | a | b |
    |---|---|
    | 1 | x |
    """
    first, *rest = [f"| {' | '.join(row)} |" for row in (header, *rows)]
    return "\n".join([first, f"|{'---|' * len(header)}", *rest])


def figures_of(path: Path) -> dict[str, Any]:
    """The content of a flat file of figures; empty where there is none.

    Raises:
        InputError: It is no such file.
    """
    content = read_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError("is not a file of figures", file=path, expected="a number under each named key", got=content)
    return content


def figure_of(content: dict[str, Any], key: str) -> str:
    """One of its figures, with its interval where it has one.

    >>> figure_of({"a": 0.5, "a_ci": [0.25, 0.75]}, "a"), figure_of({}, "a")
    ('0.500 [0.250, 0.750]', '-')
    """
    interval = content.get(f"{key}_ci")
    low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
    return with_interval(content.get(key), low, high)


def flat_table(path: Path, meanings: dict[str, str]) -> str:
    """A row for each figure of a flat file, with what it means."""
    content = figures_of(path)
    rows = [(f"`{key}`", figure_of(content, key), meaning) for key, meaning in meanings.items()]
    return table(("figure", "value [95 % interval]", "meaning"), rows)


def is_number(value: Any) -> bool:
    """Whether it is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)
