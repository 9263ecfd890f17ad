"""Many evaluations side by side as a table and a picture, for the terminal and beside the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from files.atomic import atomic_write_bytes, atomic_write_text
from metrics.glossary import MEANINGS
from metrics.result_rows import ResultRow
from report.boards import Board, boards
from report.cells import interval_cell, markdown_table, number, table_cell
from report.figures import leaderboard_figure, picture
from report.standing import first_by

MARKDOWN, PICTURE = "leaderboard.md", "leaderboard.png"


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
        "Each figure is over all records, with its 95 % interval; methods stand in the order of the first. The best is "
        "bold where intervals allow to call it so. `base` is the model as it is, on the same records.",
    ]
    for board in found:
        parts.append(f"## {table_cell(board.benchmark)}, {table_cell(board.model)}")
        parts.append(_table(board, board.effects, mark_best=True))
        if board.costs:
            parts += ["What it costs:", _table(board, board.costs, mark_best=False)]
    shown = {name for board in found for name in (*board.effects, *board.costs)}
    lines = [f"- `{name}`: {MEANINGS[name].text} ({_better(name)})" for name in MEANINGS if name in shown]
    return "\n\n".join([*parts, *(["## What the figures mean", "\n".join(lines)] if lines else [])]) + "\n"


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
    atomic_write_bytes(Path(folder) / PICTURE, picture(leaderboard_figure(found)))
    return found


def _table(board: Board, names: Sequence[str], mark_best: bool) -> str:
    seeded = any(len(seeds) > 1 for seeds in board.seeds.values())
    header = ["method", *names, f"base, {names[0]}", *(["seeds"] if seeded else [])]
    best = {name: first_by(board, name).best for name in names if mark_best}
    rows = []
    for method, figures in board.methods.items():
        cells = [(name, interval_cell(figures.get(name))) for name in names]
        shown = [f"**{cell}**" if best.get(name) == method else cell for name, cell in cells]
        first = figures.get(names[0])
        base = number(first.base_value) if first is not None else ""
        seeds = [", ".join(map(str, board.seeds[method]))] if seeded else []
        rows.append([table_cell(method), *shown, base, *seeds])
    return markdown_table([table_cell(name) for name in header], rows)


def _better(name: str) -> str:
    better = MEANINGS[name].better
    return f"{better} is better" if better != "neither" else "neither way is better"
