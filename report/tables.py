"""Leaderboards as tables of cells: the text of each figure, its place on a line, and how it stands to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.result_rows import ResultRow
from report.boards import BASE, Board
from report.cells import number
from report.drawing import Strip, strip
from report.standing import Verdict, against_base, direction, first_by

ARROWS = {1: "more is better", -1: "less is better", 0: ""}
_HINTS: dict[Verdict, str] = {
    "better": "better than the base model, beyond the interval",
    "worse": "worse than the base model, beyond the interval",
    "level": "not to be told from the base model",
    "": "",
}


@dataclass(frozen=True)
class Cell:
    """A figure in a table.

    Attributes:
        value: As text; empty where there is none.
        interval: As text; empty where there is none.
        verdict: How it stands to the base model.
        hint: The same in words.
        best: Whether it is the best of its column for certain.
        strip: Where it lies among the figures of its column.
    """

    value: str = ""
    interval: str = ""
    verdict: Verdict = ""
    hint: str = ""
    best: bool = False
    strip: Strip | None = None


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        name: Its heading.
        note: What stands below the heading.
    """

    name: str
    note: str


@dataclass(frozen=True)
class Line:
    """A method in a table.

    Attributes:
        method: Its name.
        cells: Its figures.
        base: Whether it is the base model.
    """

    method: str
    cells: tuple[Cell, ...]
    base: bool

    @property
    def name(self) -> str:
        """What the row is called."""
        return "base model" if self.base else self.method


@dataclass(frozen=True)
class Leaderboard:
    """A table of methods.

    Attributes:
        columns: The headings.
        rows: The methods.
        notes: What can and cannot be told.
    """

    columns: tuple[Column, ...]
    rows: tuple[Line, ...]
    notes: tuple[str, ...]


def board_table(board: Board, names: Sequence[str], mark_best: bool) -> Leaderboard:
    """Some figures of one board.

    Args:
        board: The methods.
        names: The figures.
        mark_best: Whether the best is marked, and said where none can be; not where the base model is the measure.

    Returns:
        The table; the base model stands in it even where it was not evaluated by itself.
    """
    methods = list(board.methods)
    if BASE not in methods and any(board.base_value(name) is not None for name in names):
        methods.append(BASE)
    columns = [_cells(board, name, methods, mark_best) for name in names]
    rows = [Line(method, tuple(column[method] for column in columns), method == BASE) for method in methods]
    notes = [text[0].upper() + text[1:] for name in names if mark_best and (text := _note(board, name))]
    return Leaderboard(tuple(Column(name, ARROWS[direction(name)]) for name in names), tuple(rows), tuple(notes))


def overview_table(boards: Sequence[Board], methods: Sequence[str]) -> Leaderboard:
    """Methods by benchmarks: the leading figure of each.

    Args:
        boards: The boards of one model.
        methods: The methods, in their order.

    Returns:
        The table.
    """
    columns = [_cells(board, board.leading, methods, True) for board in boards]
    rows = [Line(method, tuple(column[method] for column in columns), method == BASE) for method in methods]
    notes = [f"{board.benchmark}: {text}" for board in boards if (text := _note(board, board.leading))]
    ways = [f"{board.leading}, {ARROWS[direction(board.leading)]}".strip(", ") for board in boards]
    headings = [Column(board.benchmark, way) for board, way in zip(boards, ways, strict=True)]
    return Leaderboard(tuple(headings), tuple(rows), tuple(notes))


def _cells(board: Board, name: str, methods: Sequence[str], mark_best: bool) -> Mapping[str, Cell]:
    column = [figures[name] for figures in board.methods.values() if name in figures]
    first = first_by(board, name)
    base = board.base_value(name)
    cells = {}
    for method in methods:
        row = board.methods.get(method, {}).get(name)
        if row is None and method == BASE and base is not None:
            cells[method] = Cell(number(base), "beside the methods")
        else:
            cells[method] = _cell(row, base, column, method == BASE, mark_best and method == first.best)
    return cells


def _cell(row: ResultRow | None, base: float | None, column: Sequence[ResultRow], is_base: bool, best: bool) -> Cell:
    if row is None or row.value is None:
        return Cell()
    verdict = "" if is_base else against_base(row, base)
    interval = "" if row.ci_low is None or row.ci_high is None else f"{number(row.ci_low)} to {number(row.ci_high)}"
    return Cell(number(row.value), interval, verdict, _HINTS[verdict], best, strip(row, base, column))


def _note(board: Board, name: str) -> str:
    """Who shares the first place, where nobody can be called the best."""
    first = first_by(board, name)
    level = ["the base model" if method == BASE else method for method in board.methods if method in first.level]
    if len(level) < 2:
        return ""
    named = f"{', '.join(level[:-1])} and {level[-1]}"
    return f"by {name} no method can be called the best: {named} cannot be told apart."
