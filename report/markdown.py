"""The report as Markdown, for a terminal, a pull request or a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from report.boards import BASE, Board, overview
from report.cells import interval_cell, markdown_table, number, table_cell
from report.contents import Contents
from report.page import summary
from report.paired_tests import paired_tests_markdown
from report.spending import SPENT, Spending, shows
from report.sweeps import Sweep
from report.tables import Leaderboard, board_table, overview_table
from report.texts import Asked


def report_markdown(it: Contents, pictures: Sequence[str] = ()) -> str:
    """The whole report as Markdown.

    Args:
        it: What to show.
        pictures: Files beside it that are shown at its end.

    Returns:
        Markdown; text of a model stays text in it.
    """
    parts = [f"> **Warning:** {table_cell(it.judge_warning)}."] if it.judge_warning else []
    parts += [f"# {table_cell(it.title)}", summary(it)]
    parts += ["\n".join(f"- **Warning:** {table_cell(text)}." for text in it.warnings)] if it.warnings else []
    if len(it.boards) > 1:
        for model, (boards, methods) in overview(it.boards).items():
            parts += [
                f"## Every method on every benchmark, {table_cell(model)}",
                _table(overview_table(boards, methods)),
            ]
    for board in it.boards:
        parts += _board(
            board, [one for one in it.texts if (one.benchmark, one.model) == (board.benchmark, board.model)]
        )
    for sweep in it.sweeps:
        parts += _sweep(sweep)
    if it.tests:
        parts.append(paired_tests_markdown(it.tests).strip())
    if it.spendings:
        parts += ["## Cost", _spent(it.spendings)]
    parts += ["## Provenance", _sources(it)]
    if it.meanings:
        lines = [f"- `{name}`: {one.text} ({one.better} is better)" for name, one in it.meanings.items()]
        parts += ["## What the figures mean", "\n".join(lines).replace("neither is better", "neither way is better")]
    parts += [f"![{name.rpartition('.')[0]}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def _board(board: Board, texts: Sequence[Asked]) -> list[str]:
    parts = [f"## {table_cell(board.benchmark)}, {table_cell(board.model)}"]
    parts.append(_table(board_table(board, board.effects, mark_best=True)))
    if board.costs:
        parts += ["### Side effects", _table(board_table(board, board.costs, mark_best=False))]
    if texts:
        parts.append("### Before and after")
        for one in texts:
            lines = [f"**{_plain(one.prompt)}** ({_plain(one.persona)})", "", f"- base model: {_plain(one.base)}"]
            lines += [f"- {_plain(method)}: {_plain(text)}" for method, text in one.answers.items() if method != BASE]
            parts.append("\n".join(lines))
    return parts


def _table(table: Leaderboard) -> str:
    header = ["method", *(f"{column.name}" + (f" ({column.note})" if column.note else "") for column in table.columns)]
    rows = []
    for line in table.rows:
        cells = []
        for cell in line.cells:
            text = f"{cell.value} [{cell.interval.replace(' to ', ', ')}]" if " to " in cell.interval else cell.value
            cells.append(f"**{text}**" if cell.best else text)
        rows.append([table_cell(line.name), *cells])
    text = markdown_table([table_cell(name) for name in header], rows)
    return "\n\n".join([text, *(table_cell(note[0].upper() + note[1:]) for note in table.notes)])


def _sweep(sweep: Sweep) -> list[str]:
    header = [sweep.setting, *(curve.metric for curve in sweep.curves)]
    rows = [
        [table_cell(value), *(interval_cell(curve.rows[place]) for curve in sweep.curves)]
        for place, value in enumerate(sweep.values)
    ]
    title = f"## {sweep.method} over {sweep.setting}, {sweep.benchmark}"
    return [table_cell(title), markdown_table([table_cell(name) for name in header], rows)]


def _spent(spent: Sequence[Spending]) -> str:
    shown = {name: title for name, title in SPENT.items() if shows(spent, name)}
    rows = [
        [_called(one.method), table_cell(one.benchmark), *(_amount(getattr(one, name)) for name in shown)]
        for one in spent
    ]
    return markdown_table(["method", "benchmark", *shown.values()], rows)


def _called(method: str) -> str:
    return "base model" if method == BASE else table_cell(method)


def _amount(value: float | None) -> str:
    return f"{value:.0f}" if value is not None and value == int(value) else number(value)


def _sources(it: Contents) -> str:
    header = ["benchmark", "model", "methods", "commit", "seed", "data", "judge", "versions"]
    rows = [
        [one.benchmark, one.model, ", ".join(one.methods), one.commit, ", ".join(map(str, one.seeds)), one.data]
        + [one.judge or "none", one.versions]
        for one in it.sources
    ]
    return markdown_table(header, [[table_cell(text) for text in row] for row in rows])


def _plain(text: str) -> str:
    """Text on one line, with nothing in it that Markdown or HTML would act upon."""
    escaped = table_cell(text)
    for mark in "`*_[]#":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped or "(nothing)"
