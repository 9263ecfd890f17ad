"""Shows what an evaluation found: a table in the terminal, a Markdown file, and figures in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callbacks.comparison import comparison_markdown, comparison_table
from callbacks.results_json import all_outcomes
from callbacks.sample_generations import samples_markdown
from files.atomic import atomic_write_text
from metrics.outcome import MetricRow, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(Callback):
    """Prints the figures of an evaluation, writes `report.md` and fills TensorBoard's text and image pages.

    Args:
        samples: Number of free answers to show in `report.md`.
    """

    def __init__(self, samples: int = 5) -> None:
        self.samples = samples
        self._finished: Outcome | None = None
        self._outcomes: tuple[Outcome, ...] = ()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the report."""
        outcome = getattr(pl_module, "outcome", None)
        if not trainer.is_global_zero or not isinstance(outcome, Outcome):
            return
        self._outcomes = all_outcomes(pl_module)
        text = report_markdown(outcome, self.samples)
        if len(self._outcomes) > 1:
            text += f"\n## Methods side by side\n\n{comparison_markdown(self._outcomes)}\n"
        atomic_write_text(Path(trainer.default_root_dir) / "report.md", text)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("report", text)
                logger.experiment.add_figure("report/headline", headline_figure(outcome))
                logger.experiment.flush()
        self._finished = outcome

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Print the table, now that the progress bar has let go of the terminal."""
        if self._finished is not None:
            console = Console()
            console.print(figures_table(self._finished))
            if len(self._outcomes) > 1:
                console.print(comparison_table(self._outcomes))
            console.print(Text(f"Results, report and answers are in {trainer.default_root_dir}"))
            self._finished = None


def figures_table(outcome: Outcome) -> Table:
    """The headline figures, over all records and for each trait, as a table for the terminal.

    Args:
        outcome: A finished evaluation.

    Returns:
        A table that a rich console can print.
    """
    title = f"{outcome.method} on {outcome.benchmark}, {outcome.model}, {len(outcome.records)} records"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("figure")
    for name in ("base", outcome.method, "95 % interval", "records"):
        table.add_column(Text(name), justify="right")
    for name in outcome.headline:
        for row in outcome.rows:
            if row.metric.split("/")[0] == name:
                label = row.metric if row.persona == "all" else f"  {row.metric.removeprefix(f'{name}/')}"
                style = "bold" if row.persona == "all" else "dim"
                table.add_row(*(Text(cell) for cell in (label, *_cells(row))), style=style)
    return table


def report_markdown(outcome: Outcome, samples: int) -> str:
    """The whole report as Markdown.

    Args:
        outcome: A finished evaluation.
        samples: Number of free answers to show.

    Returns:
        Headline figures, all figures, answers before and after.
    """
    headline = outcome.headline_rows()
    others = [row for row in outcome.rows if row not in headline]
    parts = [
        f"# {outcome.method} on {outcome.benchmark}",
        f"Model `{outcome.model}`, {len(outcome.records)} records, seed {outcome.seed}, {outcome.seconds:.1f} s, "
        f"{outcome.peak_memory_mb:.0f} MB. Each figure is a mean over records with its 95 % bootstrap interval.",
        _markdown_table(headline, outcome.method),
        "## All figures",
        _markdown_table(others, outcome.method),
    ]
    parts[2:2] = [f"**Warning:** {text}." for text in outcome.warnings]
    undefined = [f"`{row.metric}`: {row.undefined}" for row in outcome.rows if row.persona == "all" and row.undefined]
    if undefined:
        parts.append(f"Records without a value, left out of the mean: {', '.join(undefined)}.")
    if samples and any(record.samples for record in outcome.records):
        parts += ["## Answers before and after", samples_markdown(outcome.records, samples)]
    return "\n\n".join(parts) + "\n"


def headline_figure(outcome: Outcome) -> Figure:
    """Bars of the headline figures, base beside method, with the method's interval.

    Args:
        outcome: A finished evaluation.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure  # half a second that only the end of an evaluation needs

    rows = [row for row in outcome.headline_rows() if row.value is not None]
    figure = Figure(figsize=(1.5 + 1.6 * max(1, len(rows)), 3.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        value = row.value or 0.0
        low, high = row.ci_low, row.ci_high
        error = None if low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.bar(place - 0.2, row.base_value or 0.0, 0.36, color="#9aa5b1", label="base" if place == 0 else None)
        label = outcome.method if place == 0 else None
        axes.bar(place + 0.2, value, 0.36, yerr=error, capsize=4, color="#2b6cb0", label=label)
    axes.set_xticks(range(len(rows)), [row.metric for row in rows])
    axes.set_title(f"{outcome.method} on {outcome.benchmark}")
    axes.spines[["top", "right"]].set_visible(False)
    if rows:
        figure.legend(loc="outside right upper", frameon=False)
    return figure


def _markdown_table(rows: Sequence[MetricRow], method: str) -> str:
    lines = [f"| figure | base | {method} | 95 % interval | records |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {row.metric} | {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: MetricRow) -> tuple[str, str, str, str]:
    """Base value, value, interval and number of records as text."""
    interval = "" if row.ci_low is None else f"{_number(row.ci_low)} to {_number(row.ci_high)}"
    return _number(row.base_value), _number(row.value), interval, str(row.n)


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.0f}" if value == int(value) and abs(value) > 1 else f"{value:.3f}"
