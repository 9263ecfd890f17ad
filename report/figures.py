"""The report's pictures as files and for TensorBoard: bars, radars and curves, on light or dark ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple

from metrics.glossary import MEANINGS
from metrics.result_rows import ResultRow
from report.boards import BASE, Board
from report.profiles import Profiles, axis_label
from report.standing import direction
from report.sweeps import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

_ACROSS = 4
_MULTIPLIED = ("perplexity",)
_FAR = 30  # times the smallest value: from there on such figures are drawn to a logarithmic scale
_TELLING_COSTS = ("drawdown", "coherent_rate", "mass_outside", "perplexity", "talk_accuracy")


class Theme(NamedTuple):
    """Colours of a picture.

    Attributes:
        ink: Of words.
        paper: Of the ground.
        line: Of axes.
        method: Of what a method did.
        base: Of the base model.
    """

    ink: str
    paper: str
    line: str
    method: str
    base: str


THEMES = {
    "light": Theme("#1d2126", "#ffffff", "#c9c6be", "#1f5fa8", "#8a8f96"),
    "dark": Theme("#e8e6e1", "#14171b", "#434a54", "#7db4ee", "#8d949d"),
}


def leaderboard_figure(found: Sequence[Board], theme: Theme = THEMES["light"]) -> Figure:
    """A row of panels for each board: its leading effects and costs as bars with intervals.

    Args:
        found: The boards.
        theme: The colours.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure  # half a second that only the end of a comparison needs

    columns = max(len(_panels(board)) for board in found)
    heights = [0.9 + 0.28 * len(board.methods) for board in found]
    figure = Figure(figsize=(1.6 + 2.7 * columns, sum(heights) + 0.4), layout="constrained", facecolor=theme.paper)
    rows = figure.subplots(len(found), columns, squeeze=False, height_ratios=heights)
    for board, axes in zip(found, rows, strict=True):
        panels = _panels(board)
        for place, axis in enumerate(axes):
            if place >= len(panels):
                axis.set_axis_off()
                continue
            _bars(axis, board, panels[place], theme)
            axis.set_yticks(range(len(board.methods)), list(board.methods) if place == 0 else [])
            if place == 0:
                axis.set_ylabel(board.benchmark)
            _coloured(axis, theme)
    return figure


def radar_figure(of: Profiles, theme: Theme = THEMES["light"]) -> Figure:
    """A radar for each method, the base model dashed in each.

    Args:
        of: The profiles.
        theme: The colours.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

    across = min(_ACROSS, len(of.of))
    down = math.ceil(len(of.of) / across)
    figure = Figure(figsize=(0.4 + 2.5 * across, 0.5 + 2.7 * down), layout="constrained", facecolor=theme.paper)
    panels = figure.subplots(down, across, squeeze=False, subplot_kw={"projection": "polar"}).flatten()
    angles = [2 * math.pi * place / len(of.axes) for place in range(len(of.axes))]
    for panel, profile in zip(panels, of.of, strict=False):
        if isinstance(panel, PolarAxes):
            panel.set_theta_offset(math.pi / 2)
            panel.set_theta_direction(-1)
            _area(panel, angles, profile.base, theme.base, "--")
            _area(panel, angles, profile.values, theme.method, "-")
            panel.set_ylim(*of.scale)
            panel.set_xticks(angles, [axis_label(axis) for axis in of.axes])
            panel.set_yticks([of.scale[0] + part * (of.scale[1] - of.scale[0]) for part in (0.25, 0.5, 0.75)], [])
            panel.set_title(profile.method, fontsize=9)
            _coloured(panel, theme)
    for panel in panels[len(of.of) :]:
        panel.set_axis_off()
    title = f"{of.benchmark}: {of.metric}, {of.scale[0]:g} to {of.scale[1]:g}, base model dashed"
    figure.suptitle(title, fontsize=10, color=theme.ink)
    return figure


def sweep_figure(sweep: Sweep, theme: Theme = THEMES["light"]) -> Figure:
    """A panel for each figure over the values of a setting, with its interval and the base model.

    Args:
        sweep: The sweep.
        theme: The colours.

    Returns:
        A figure that belongs to no window.
    """
    from matplotlib.figure import Figure

    size = (0.3 + 2.8 * len(sweep.curves), 2.7)
    figure = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
    for axis, curve in zip(figure.subplots(1, len(sweep.curves), squeeze=False)[0], sweep.curves, strict=True):
        values = [row.value or 0.0 for row in curve.rows]
        ends = [(row.ci_low, row.ci_high) for row in curve.rows]
        whole = [(low, high) for low, high in ends if low is not None and high is not None]
        if len(whole) == len(values):
            lows, highs = ([end[side] for end in whole] for side in (0, 1))
            axis.fill_between(sweep.places, lows, highs, color=theme.method, alpha=0.2, linewidth=0)
        base = next((row.base_value for row in curve.rows if row.base_value is not None), None)
        if base is not None:
            axis.axhline(base, color=theme.base, linestyle="--", linewidth=1)
        axis.plot(sweep.places, values, "o-", color=theme.method, markersize=4)
        axis.set_xticks(sweep.places, sweep.values)
        axis.set_xlabel(sweep.setting)
        axis.set_title(f"{curve.metric}{_way(curve.metric)}", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        _coloured(axis, theme)
    figure.suptitle(f"{sweep.method} on {sweep.benchmark}, base model dashed", fontsize=10, color=theme.ink)
    return figure


def picture(figure: Figure, kind: Literal["png", "svg"] = "png") -> bytes:
    """A figure as a file, the same bytes for the same figure.

    Args:
        figure: The figure.
        kind: The format.

    Returns:
        The content of the file.
    """
    from matplotlib import rc_context

    buffer = BytesIO()
    unsaid = {"Software": None} if kind == "png" else {"Date": None, "Creator": None, "Format": None, "Type": None}
    with rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format=kind, dpi=110, metadata=unsaid)
    return buffer.getvalue()


def _panels(board: Board) -> list[str]:
    """The figures that are drawn: the leading ones of either kind that have a value."""
    known = {name for figures in board.methods.values() for name, row in figures.items() if row.value is not None}
    effects = [name for name in board.effects if name in known][:3]
    return effects + [name for name in _TELLING_COSTS if name in known and name in board.costs][:3]


def _bars(axis: Axes, board: Board, name: str, theme: Theme) -> None:
    for place, (method, figures) in enumerate(board.methods.items()):
        row = figures.get(name)
        if row is not None and row.value is not None:
            colour = theme.base if method == BASE else theme.method
            axis.barh(place, row.value, 0.7, xerr=_error(row), capsize=3, color=colour, ecolor=theme.ink)
    axis.set_title(f"{name}{_way(name)}", fontsize=9)
    axis.set_ylim(len(board.methods) - 0.4, -0.6)
    values = [row.value for figures in board.methods.values() if (row := figures.get(name)) and row.value is not None]
    if name in _MULTIPLIED and values and min(values) > 0 and max(values) > _FAR * min(values):
        axis.set_xscale("log")  # else a single broken model leaves nothing to see of all others
        axis.set_xlim(left=min(values) / 2)
    else:
        axis.locator_params(axis="x", nbins=4)  # labels such as 0.025 run into each other otherwise
    axis.spines[["top", "right"]].set_visible(False)


def _error(row: ResultRow) -> list[list[float]] | None:
    if row.value is None or row.ci_low is None or row.ci_high is None:
        return None
    return [[max(0.0, row.value - row.ci_low)], [max(0.0, row.ci_high - row.value)]]


def _area(panel: PolarAxes, angles: Sequence[float], values: Sequence[float | None], colour: str, style: str) -> None:
    known = [value for value in values if value is not None]
    if len(known) == len(angles):
        panel.plot([*angles, angles[0]], [*known, known[0]], style, color=colour, linewidth=1.5)
        panel.fill(angles, known, color=colour, alpha=0.15)


def _way(name: str) -> str:
    """Which way is better, for a heading."""
    if name not in MEANINGS:
        return ""
    return {1: " (more is better)", -1: " (less is better)", 0: " (either way)"}[direction(name)]


def _coloured(axis: Axes, theme: Theme) -> None:
    axis.set_facecolor(theme.paper)
    axis.tick_params(labelsize=8, colors=theme.ink)
    axis.title.set_color(theme.ink)
    for label in (axis.xaxis.label, axis.yaxis.label):
        label.set_color(theme.ink)
    for spine in axis.spines.values():
        spine.set_color(theme.line)
    axis.grid(color=theme.line, linewidth=0.5) if axis.name == "polar" else None
