"""Geometry of the pictures inside a page: numbers become points, in the units of each picture's view box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.result_rows import ResultRow
from report.cells import number
from report.profiles import Profile, Profiles, axis_label
from report.sweeps import Curve, Sweep

STRIP_WIDTH = 100.0
RADAR_CENTRE, RADAR_RADIUS = (120.0, 108.0), 78.0
CURVE_LEFT, CURVE_RIGHT, CURVE_TOP, CURVE_BOTTOM = 46.0, 308.0, 12.0, 150.0
_RINGS = (0.25, 0.5, 0.75, 1.0)
_TICKS = 3


@dataclass(frozen=True)
class Strip:
    """A figure on a line: its value as a dot, its interval as a bar, the base model as a tick.

    Attributes:
        value: Where the dot is, from 0 to 100.
        low: Where the interval begins; where the dot is if there is none.
        high: Where it ends.
        base: Where the tick is; None where the base model has no figure.
    """

    value: float
    low: float
    high: float
    base: float | None


@dataclass(frozen=True)
class Label:
    """A word in a picture.

    Attributes:
        x: Where it is anchored.
        y: Its baseline.
        text: The word.
        anchor: Which end of it is anchored: start, middle or end.
        title: What it means, shown on pointing at it.
    """

    x: float
    y: float
    text: str
    anchor: str = "middle"
    title: str = ""


@dataclass(frozen=True)
class Radar:
    """A radar of one method.

    Attributes:
        rings: Polygons of equal value, the rim last.
        spokes: Ends of the axes.
        labels: Names of the axes.
        base: The base model's polygon; empty where an axis lacks a value.
        values: The method's polygon; empty where an axis lacks a value.
        dots: The method's value on each axis that has one, with what it says.
    """

    rings: tuple[str, ...]
    spokes: tuple[tuple[float, float], ...]
    labels: tuple[Label, ...]
    base: str
    values: str
    dots: tuple[Label, ...]


@dataclass(frozen=True)
class CurvePicture:
    """One figure over the values of a setting.

    Attributes:
        line: Points of the line.
        band: Outline of its interval; empty where there is none.
        dots: The points, with what they say.
        base: Height of the base model's figure; None where it has none.
        across: Labels below.
        up: Labels beside, at the heights of the lines behind.
    """

    line: str
    band: str
    dots: tuple[Label, ...]
    base: float | None
    across: tuple[Label, ...]
    up: tuple[Label, ...]


def strip(row: ResultRow, base: float | None, column: Sequence[ResultRow]) -> Strip | None:
    """Place a figure on the scale that all figures of its column share.

    Args:
        row: The figure.
        base: The base model's.
        column: All figures of the column.

    Returns:
        None where there is no value.
    """
    if row.value is None:
        return None
    bases = [one.base_value for one in column]
    values = [value for one in column for value in (one.value, one.ci_low, one.ci_high) if value is not None]
    low, high = _range([*values, *(value for value in (*bases, base) if value is not None)])

    def place(value: float) -> float:
        return round(STRIP_WIDTH * (value - low) / (high - low), 2)

    return Strip(
        place(row.value),
        place(row.ci_low if row.ci_low is not None else row.value),
        place(row.ci_high if row.ci_high is not None else row.value),
        place(base) if base is not None else None,
    )


def radar(of: Profiles, profile: Profile) -> Radar:
    """Draw one method's profile beside the base model's.

    Args:
        of: Axes and scale.
        profile: The method.

    Returns:
        The picture; the first axis points up, the others follow clockwise.
    """
    angles = [2 * math.pi * place / len(of.axes) - math.pi / 2 for place in range(len(of.axes))]
    low, high = of.scale

    def point(place: int, part: float) -> tuple[float, float]:
        x, y = RADAR_CENTRE
        angle, length = angles[place], RADAR_RADIUS * part
        return round(x + length * math.cos(angle), 2), round(y + length * math.sin(angle), 2)

    def polygon(values: Sequence[float | None]) -> str:
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return ""
        return _points([point(place, (value - low) / (high - low)) for place, value in enumerate(known)])

    labels = []
    for place, axis in enumerate(of.axes):
        x, y = point(place, 1.17)
        side = math.cos(angles[place])
        anchor = "middle" if abs(side) < 0.2 else "start" if side > 0 else "end"
        labels.append(Label(x, y + 4, axis_label(axis), anchor, axis))
    dots = []
    for place, value in enumerate(profile.values):
        if value is not None:
            x, y = point(place, (value - low) / (high - low))
            before = f", base {number(profile.base[place])}" if profile.base[place] is not None else ""
            dots.append(Label(x, y, number(value), title=f"{of.axes[place]}: {number(value)}{before}"))
    return Radar(
        rings=tuple(_points([point(place, part) for place in range(len(of.axes))]) for part in _RINGS),
        spokes=tuple(point(place, 1.0) for place in range(len(of.axes))),
        labels=tuple(labels),
        base=polygon(profile.base),
        values=polygon(profile.values),
        dots=tuple(dots),
    )


def curve(sweep: Sweep, of: Curve) -> CurvePicture:
    """Draw one figure over the values of a setting.

    Args:
        sweep: The values.
        of: The figure at each.

    Returns:
        The picture.
    """
    base = next((row.base_value for row in of.rows if row.base_value is not None), None)
    ends = [(row.ci_low, row.ci_high) for row in of.rows]
    values = [row.value for row in of.rows if row.value is not None]
    bounds = [value for pair in ends for value in pair if value is not None]
    low, high = _range([*values, *bounds, *([base] if base is not None else [])])
    first, last = min(sweep.places), max(sweep.places)

    def across(value: float) -> float:
        return round(CURVE_LEFT + (CURVE_RIGHT - CURVE_LEFT) * (0.04 + 0.92 * (value - first) / (last - first)), 2)

    def up(value: float) -> float:
        return round(CURVE_BOTTOM - (CURVE_BOTTOM - CURVE_TOP) * (value - low) / (high - low), 2)

    xs = [across(place) for place in sweep.places]
    dots = tuple(
        Label(x, up(value), name, title=f"{sweep.setting}={name}: {number(value)}")
        for x, name, value in zip(xs, sweep.values, values, strict=True)
    )
    whole = [
        (x, lower, upper) for x, (lower, upper) in zip(xs, ends, strict=True) if lower is not None and upper is not None
    ]
    band = [(x, up(upper)) for x, _, upper in whole] + [(x, up(lower)) for x, lower, _ in reversed(whole)]
    ticks = [low + (high - low) * place / (_TICKS - 1) for place in range(_TICKS)]
    return CurvePicture(
        line=_points([(dot.x, dot.y) for dot in dots]),
        band=_points(band) if len(whole) == len(xs) else "",
        dots=dots,
        base=up(base) if base is not None else None,
        across=tuple(Label(x, CURVE_BOTTOM + 18, name) for x, name in zip(xs, sweep.values, strict=True)),
        up=tuple(Label(CURVE_LEFT - 6, up(value), _tick(value, high - low), "end") for value in ticks),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The range of some values with a little room on both sides."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _tick(value: float, width: float) -> str:
    digits = max(0, min(4, 1 - math.floor(math.log10(width))))
    return f"{value:.{digits}f}"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
