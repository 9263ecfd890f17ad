"""Many evaluations side by side: a table and a picture for each benchmark, made from results files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from files.atomic import atomic_write_bytes, atomic_write_text
from files.errors import InputError
from metrics.glossary import MEANINGS, ranked
from metrics.result_rows import ResultRow, by_run
from report.cells import interval_cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASE = "none"
MARKDOWN, PICTURE = "leaderboard.md", "leaderboard.png"
_SHOWN_DETAILS = 4


@dataclass(frozen=True)
class Board:
    """The methods that were asked the same questions.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        effects: Names of the figures that say what a method brings, the leading one first.
        costs: Names of the figures that say what it costs.
        methods: For each method its plain figures by name, the best first.
        seeds: For each method the seeds that its figures come from.
    """

    benchmark: str
    model: str
    effects: tuple[str, ...]
    costs: tuple[str, ...]
    methods: Mapping[str, Mapping[str, ResultRow]]
    seeds: Mapping[str, tuple[int, ...]]


def boards(rows: Sequence[ResultRow]) -> list[Board]:
    """Sort rows into a board for each benchmark and model.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        The boards, in the order of the rows.

    Raises:
        InputError: There is no figure over all records.
    """
    found = []
    for (benchmark, model), methods in by_run([row for row in rows if row.plain]).items():
        figures = {method: {row.metric: row for row in of_method} for method, of_method in methods.items()}
        names = {name for plain in figures.values() for name in plain}
        effects = ranked(names, "effect") or [name for name in next(iter(figures.values()))][:_SHOWN_DETAILS]
        seeds = {
            method: tuple(sorted({row.seed for row in of_method if row.seed is not None}))
            for method, of_method in methods.items()
        }
        order = sorted(figures, key=lambda method: _place(figures[method].get(effects[0]), method))
        found.append(
            Board(
                benchmark,
                model,
                tuple(effects),
                tuple(name for name in ranked(names, "cost") if name not in effects),
                {method: figures[method] for method in order},
                seeds,
            )
        )
    if not found:
        raise InputError("there is nothing to compare", expected="results with figures over all records", got=len(rows))
    return found


def leaderboard_markdown(found: Sequence[Board], title: str = "Leaderboard") -> str:
    """Every board as two tables, what methods bring and what they cost, and what the figures mean.

    Args:
        found: The boards.
        title: First line.

    Returns:
        Markdown.
    """
    parts = [
        f"# {title}",
        "Each figure is over all records, with its 95 % interval; the best method stands first. `base` is the model as "
        "it is, on the same records.",
    ]
    for board in found:
        parts.append(f"## {board.benchmark}, {board.model}")
        parts.append(_table(board, board.effects))
        if board.costs:
            parts += ["What it costs:", _table(board, board.costs)]
    shown = {name for board in found for name in (*board.effects, *board.costs)}
    lines = [f"- `{name}`: {MEANINGS[name].text} ({_better(name)})" for name in MEANINGS if name in shown]
    return "\n\n".join([*parts, *(["## What the figures mean", "\n".join(lines)] if lines else [])]) + "\n"


def leaderboard_figure(found: Sequence[Board]) -> Figure:
    """A row of panels for each board: its leading effects and costs as bars with intervals.

    Args:
        found: The boards.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure  # half a second that only the end of a comparison needs

    columns = max(len(_panels(board)) for board in found)
    height = sum(0.9 + 0.28 * len(board.methods) for board in found)
    figure = Figure(figsize=(1.6 + 2.7 * columns, height + 0.4), layout="constrained")
    rows = figure.subplots(
        len(found), columns, squeeze=False, height_ratios=[0.9 + 0.28 * len(board.methods) for board in found]
    )
    for board, axes in zip(found, rows, strict=True):
        panels = _panels(board)
        for place, axis in enumerate(axes):
            if place >= len(panels):
                axis.set_axis_off()
                continue
            _bars(axis, board, panels[place])
            axis.set_yticks(range(len(board.methods)), list(board.methods) if place == 0 else [])
            if place == 0:
                axis.set_ylabel(board.benchmark)
    return figure


def write_leaderboard(rows: Sequence[ResultRow], folder: str | Path, title: str = "Leaderboard") -> list[Board]:
    """Write `leaderboard.md` and `leaderboard.png`.

    Args:
        rows: Rows of any number of evaluations.
        folder: Where to; made where it is not there.
        title: First line.

    Returns:
        What was written about.

    Raises:
        InputError: There is nothing to compare, or the folder cannot be written.
    """
    found = boards(rows)
    atomic_write_text(Path(folder) / MARKDOWN, leaderboard_markdown(found, title))
    atomic_write_bytes(Path(folder) / PICTURE, png(leaderboard_figure(found)))
    return found


def png(figure: Figure) -> bytes:
    """A figure as a PNG file, the same bytes for the same figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _table(board: Board, names: Sequence[str]) -> str:
    seeded = any(len(seeds) > 1 for seeds in board.seeds.values())
    header = ["method", *names, f"base, {names[0]}", *(["seeds"] if seeded else [])]
    lines = [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    for method, figures in board.methods.items():
        cells = [interval_cell(figures.get(name)) for name in names]
        first = figures.get(names[0])
        base = "" if first is None or first.base_value is None else f"{first.base_value:.3f}"
        seeds = [", ".join(map(str, board.seeds[method]))] if seeded else []
        lines.append(f"| {' | '.join([_escaped(method), *cells, base, *seeds])} |")
    return "\n".join(lines)


def _panels(board: Board) -> list[str]:
    """The figures that are drawn: the leading ones of either kind that have a value."""
    known = {name for figures in board.methods.values() for name, row in figures.items() if row.value is not None}
    effects = [name for name in board.effects if name in known][:3]
    wanted = ("drawdown", "coherent_rate", "mass_outside", "perplexity", "talk_accuracy")
    return effects + [name for name in wanted if name in known and name in board.costs][:3]


def _bars(axis: Axes, board: Board, name: str) -> None:
    for place, (method, figures) in enumerate(board.methods.items()):
        row = figures.get(name)
        if row is None or row.value is None:
            continue
        low, high = row.ci_low, row.ci_high
        error = None
        if low is not None and high is not None:
            error = [[max(0.0, row.value - low)], [max(0.0, high - row.value)]]
        axis.barh(place, row.value, 0.7, xerr=error, capsize=3, color="#9aa5b1" if method == BASE else "#2b6cb0")
    axis.set_title(f"{name} ({_arrow(name)})" if name in MEANINGS else name, fontsize=9)
    axis.set_ylim(len(board.methods) - 0.4, -0.6)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _place(row: ResultRow | None, method: str) -> tuple[bool, float, str]:
    """Where a method stands: by its leading figure, the best first, those without one last."""
    if row is None or row.value is None:
        return True, 0.0, method
    lower = row.metric in MEANINGS and MEANINGS[row.metric].better == "lower"
    return False, row.value if lower else -row.value, method


def _better(name: str) -> str:
    better = MEANINGS[name].better
    return f"{better} is better" if better != "neither" else "neither way is better"


def _arrow(name: str) -> str:
    return {"higher": "more is better", "lower": "less is better", "neither": "either way"}[MEANINGS[name].better]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
