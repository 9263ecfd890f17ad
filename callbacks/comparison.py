"""Methods that answered the same questions, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from metrics.outcome import Outcome
from report.cells import interval_cell


def comparison_cells(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table with a row for each method.

    Args:
        outcomes: What each method came to, on the same records.

    Returns:
        The header, and for each method its name, its headline figures with their intervals, and by how much the first
        method's leading figure differs from its own, record by record.
    """
    first = outcomes[0]
    leading = first.headline[0]
    measured = {row.metric for outcome in outcomes for row in outcome.rows if row.persona == "all"}
    shown = [name for name in first.headline if name in measured]
    header = ["method", *shown, f"{first.method} minus it, {leading}"]
    differences = {row.metric: row for row in first.rows}
    rows = []
    for outcome in outcomes:
        figures = {row.metric: row for row in outcome.rows if row.persona == "all"}
        cells = [interval_cell(figures.get(name)) for name in shown]
        rows.append([outcome.method, *cells, interval_cell(differences.get(f"{leading}_difference/{outcome.method}"))])
    return header, rows


def comparison_table(outcomes: Sequence[Outcome]) -> Table:
    """The methods as a table for the terminal: figure by figure, since a column for each is too wide for most."""
    header, rows = comparison_cells(outcomes)
    title = f"{outcomes[0].benchmark}, {outcomes[0].model}, {len(outcomes[0].records)} records, 95 % intervals"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("figure")
    table.add_column("method")
    table.add_column("value", justify="right", no_wrap=True)
    for place, name in enumerate(header[1:], start=1):
        known = [cells for cells in rows if cells[place]]
        for cells in known:
            label = name if cells is known[0] else ""
            table.add_row(*(Text(cell) for cell in (label, cells[0], cells[place])), end_section=cells is known[-1])
    return table


def comparison_markdown(outcomes: Sequence[Outcome]) -> str:
    """The methods as a Markdown table."""
    header, rows = comparison_cells(outcomes)
    lines = [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])
