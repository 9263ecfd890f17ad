"""Figures as text: a number, and a number with its interval."""

from __future__ import annotations

from metrics.outcome import MetricRow
from metrics.result_rows import ResultRow


def interval_cell(row: MetricRow | ResultRow | None) -> str:
    """A figure with its interval.

    Example:
        >>> interval_cell(MetricRow("error", "all", 4.51, 4.25, 4.75, 50, None)), interval_cell(None)
        ('4.510 [4.250, 4.750]', '')
    """
    if row is None:
        return ""
    if row.value is None:
        return "none"
    if row.ci_low is None or row.ci_high is None:
        return number(row.value)
    return f"{number(row.value)} [{number(row.ci_low)}, {number(row.ci_high)}]"


def number(value: float | None) -> str:
    """A number with three digits behind the point, large ones with fewer.

    Example:
        >>> number(0.25), number(-0.0001), number(123.456), number(1234.5), number(None)
        ('0.250', '0.000', '123.5', '1234', '')
    """
    if value is None:
        return ""
    digits = 3 if abs(value) < 100 else 1 if abs(value) < 1000 else 0
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def table_cell(text: str) -> str:
    r"""Text that stays one cell of a Markdown table, whatever it holds.

    Example:
        >>> table_cell("a|b <i>")
        'a\\|b &lt;i&gt;'
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("\\", "\\\\").replace("|", "\\|")


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose first column is text and whose others are figures; cells are taken as they are.

    Example:
        >>> print(markdown_table(["a", "b"], [["x", "1"]]))
        | a | b |
        |---|---:|
        | x | 1 |
    """
    lines = [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
