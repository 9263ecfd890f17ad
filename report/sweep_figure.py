"""One method over the values of a setting: the trait it brings against what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from files.atomic import atomic_write_bytes, atomic_write_text
from metrics.glossary import ranked
from metrics.result_rows import ResultRow
from report.cells import interval_cell
from report.figures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKDOWN, PICTURE = "sweep.md", "sweep.png"
EFFECT, COST = "trait_expression", "perplexity"
# Where the label of each point stands, in turn, so that those of near points do not lie on one another.
_LABELS = ((6, 5, "left"), (6, -12, "left"), (-6, 5, "right"), (-6, -12, "right"))
Point = tuple[Any, Sequence[ResultRow]]


def write_sweep(folder: str | Path, name: str, points: Sequence[Point]) -> None:
    """Write `sweep.md`, a table, and `sweep.png`, trait expression against perplexity.

    Where nothing was said freely, the benchmark's leading figure stands for trait expression; where nothing was asked
    beside the benchmark, the values of the setting stand for perplexity.

    Args:
        folder: Where to.
        name: The setting.
        points: Each value with the rows of its evaluation.
    """
    figures = [(value, main_figures(rows)) for value, rows in points]
    atomic_write_text(Path(folder) / MARKDOWN, sweep_markdown(name, figures))
    atomic_write_bytes(Path(folder) / PICTURE, picture(sweep_figure(name, figures)))


def main_figures(rows: Sequence[ResultRow]) -> dict[str, ResultRow]:
    """The plain figures of the method that was swept: that of the first row."""
    return {row.metric: row for row in rows if row.plain and row.method == rows[0].method}


def sweep_markdown(name: str, points: Sequence[tuple[Any, dict[str, ResultRow]]]) -> str:
    """The figures at every value.

    Args:
        name: The setting.
        points: Each value with its figures by name.

    Returns:
        Markdown.
    """
    names = {metric for _, figures in points for metric in figures}
    shown = [*ranked(names, "effect"), *ranked(names, "cost")]
    lines = [f"| {name} | {' | '.join(shown)} |", "|---|" + "---:|" * len(shown)]
    for value, figures in points:
        lines.append(f"| {value} | {' | '.join(interval_cell(figures.get(metric)) for metric in shown)} |")
    method = next((row.method for _, figures in points for row in figures.values()), "")
    return f"# {method} over {name}\n\n" + "\n".join(lines) + "\n"


def sweep_figure(name: str, points: Sequence[tuple[Any, dict[str, ResultRow]]]) -> Figure:
    """Trait expression against perplexity, a point per value, with both intervals and the base model.

    Args:
        name: The setting.
        points: Each value with its figures by name.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure  # half a second that only the end of a sweep needs

    names = {metric for _, figures in points for metric, row in figures.items() if row.value is not None}
    effect = EFFECT if EFFECT in names else next(iter(ranked(names, "effect")), None)
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    drawn: list[tuple[float, float]] = []
    for place, (value, figures) in enumerate(points):
        up = figures.get(effect or "")
        if up is None or up.value is None:
            continue
        cost = figures.get(COST)
        across = cost.value if cost is not None and cost.value is not None else _number(value, place)
        axes.errorbar(across, up.value, xerr=_error(cost), yerr=_error(up), fmt="o", color="#2b6cb0", capsize=3)
        right, above, side = _LABELS[place % len(_LABELS)]
        at, offset = (across, up.value), (right, above)
        axes.annotate(str(value), at, textcoords="offset points", xytext=offset, ha=side, fontsize=8)
        drawn.append((across, up.value))
        if not drawn[1:] and cost is not None and cost.base_value is not None and up.base_value is not None:
            axes.plot(cost.base_value, up.base_value, "s", color="#9aa5b1", label="base")
            axes.legend(frameon=False)
    axes.plot([x for x, _ in drawn], [y for _, y in drawn], color="#2b6cb0", linewidth=0.8)
    axes.set_title(f"labels: {name}", fontsize=9)
    axes.set_xlabel(f"{COST} of plain text" if COST in names else name)
    axes.set_ylabel(effect or "")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _error(row: ResultRow | None) -> list[list[float]] | None:
    if row is None or row.value is None or row.ci_low is None or row.ci_high is None:
        return None
    return [[max(0.0, row.value - row.ci_low)], [max(0.0, row.ci_high - row.value)]]


def _number(value: Any, place: int) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(place)
