"""Which figure is better than which, as far as intervals allow to say so."""

from __future__ import annotations

from typing import Literal, NamedTuple

from metrics.glossary import MEANINGS
from metrics.result_rows import ResultRow
from report.boards import Board

LEVEL = 0.05
"""Largest p-value of a paired test at which two methods are said to differ."""
Verdict = Literal["better", "worse", "level", ""]


class First(NamedTuple):
    """Who stands first by a figure.

    Attributes:
        best: The method that is better than every other one, as far as intervals tell; None where none is.
        level: The methods, two or more, that cannot be told from the one with the best value; none where one is best.
    """

    best: str | None
    level: frozenset[str]


def direction(name: str) -> int:
    """1 where more of a figure is better, -1 where less is, 0 where neither is or nothing is known of it.

    Example:
        >>> direction("acc"), direction("drawdown"), direction("entropy")
        (1, -1, 0)
    """
    better = MEANINGS[name].better if name in MEANINGS else "neither"
    return {"higher": 1, "lower": -1, "neither": 0}[better]


def against_base(row: ResultRow | None, base: float | None = None) -> Verdict:
    """How a figure stands to the base model's: beyond its own interval, or level with it.

    Args:
        row: The figure.
        base: The base model's figure, where the row does not carry it.

    Returns:
        Nothing where there is no interval, no base or no better way.
    """
    if row is None or row.value is None or row.ci_low is None or row.ci_high is None:
        return ""
    before = row.base_value if row.base_value is not None else base
    way = direction(row.metric)
    if before is None or way == 0:
        return ""
    if row.ci_low <= before <= row.ci_high:
        return "level"
    return "better" if (row.value - before) * way > 0 else "worse"


def first_by(board: Board, name: str) -> First:
    """Who stands first by a figure.

    The method with the best value is called the best only if it is apart from every other one: by a paired test,
    corrected for being one of many, where there is one; else the interval of their paired difference, where there is
    one, leaves out 0; else their own intervals do not touch.

    Args:
        board: The methods.
        name: The figure.

    Returns:
        The best method or those that share the first place; neither where there is nothing to tell.
    """
    way = direction(name)
    known: dict[str, float] = {}
    for method, figures in board.methods.items():
        value = figures[name].value if name in figures else None
        if value is not None:
            known[method] = way * value
    if way == 0 or len(known) < 2:
        return First(None, frozenset())
    top = max(known, key=lambda method: known[method])
    level = frozenset(method for method in known if method != top and not _apart(board, name, top, method, way))
    return First(None, level | {top}) if level else First(top, frozenset())


def _apart(board: Board, name: str, top: str, other: str, way: int) -> bool:
    for one, two, sign in ((top, other, way), (other, top, -way)):
        test = board.tests.get((one, name, two))
        if test is not None:
            return test.p_holm < LEVEL and sign * test.difference.value > 0
    for one, two, sign in ((top, other, way), (other, top, -way)):
        difference = board.differences.get((one, name, two))
        if difference is not None and difference.ci_low is not None and difference.ci_high is not None:
            return min(sign * difference.ci_low, sign * difference.ci_high) > 0
    best, second = (_interval(board.methods[method][name], way) for method in (top, other))
    return best is not None and second is not None and best[0] > second[1]


def _interval(row: ResultRow, way: int) -> tuple[float, float] | None:
    """Both ends of an interval, the worse one first, signed so that more is better."""
    if row.ci_low is None or row.ci_high is None:
        return None
    low, high = sorted((way * row.ci_low, way * row.ci_high))
    return low, high
