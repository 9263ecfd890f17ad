"""The report as one HTML page that needs nothing beside it: no script, no font, no address to fetch from."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from report.boards import BASE, Board, overview
from report.cells import number
from report.contents import Contents
from report.drawing import CurvePicture, Radar, curve, radar
from report.paired_tests import PairedTest, p_cell, wins_cell
from report.profiles import OF_THE_TRAIT, Profiles, axis_label
from report.provenance import Source
from report.spending import SPENT, Spending, shows
from report.standing import direction
from report.sweeps import Sweep
from report.tables import ARROWS, Leaderboard, board_table, overview_table
from report.texts import Asked

TEMPLATE = "page.html.jinja"
_ENDS = "+ is a persona high on the trait, − one low on it"
_LOW_END = ", which has reached its end in the middle, for the figure is that of the trait itself"


@dataclass(frozen=True)
class Radars:
    """The radars of one board.

    Attributes:
        metric: The figure.
        middle: What the middle stands for.
        rim: What the rim stands for.
        legend: What the letters mean.
        axes: Names of the axes.
        pictures: A picture for each method.
        rows: The same figures as a table.
    """

    metric: str
    middle: str
    rim: str
    legend: str
    axes: tuple[str, ...]
    pictures: tuple[tuple[str, Radar], ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class BoardSection:
    """What a page says of one benchmark and model.

    Attributes:
        anchor: Name of its place on the page.
        benchmark: What was asked.
        model: Of whom.
        records: Over how much.
        effects: What methods bring.
        costs: What they cost; None where nothing is known.
        radars: Trait by trait; None where there is nothing to draw.
        tests: Paired tests: figure, method, other, difference, interval, corrected p, effect size.
        texts: Before and after.
    """

    anchor: str
    benchmark: str
    model: str
    records: str
    effects: Leaderboard
    costs: Leaderboard | None
    radars: Radars | None
    tests: tuple[tuple[str, ...], ...]
    texts: tuple[Asked, ...]


@dataclass(frozen=True)
class SweepSection:
    """What a page says of one sweep.

    Attributes:
        method: The method.
        setting: The setting.
        benchmark: What was asked.
        pictures: Name of each figure, which way is better, and its picture.
    """

    method: str
    setting: str
    benchmark: str
    pictures: tuple[tuple[str, str, CurvePicture], ...]


@dataclass(frozen=True)
class OriginSection:
    """What a page says of provenance.

    Attributes:
        root: The folder that all results lie below.
        rows: What was made alike, and the folders of its results.
        versions: The libraries, a sentence for each set of them.
    """

    root: str
    rows: tuple[tuple[Source, str], ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class SpentSection:
    """What a page says of costs.

    Attributes:
        columns: The headings.
        rows: Method, benchmark and cells.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]


def page(it: Contents) -> str:
    """The whole page.

    Every text from a results file is escaped by the template engine, and the page's own policy lets no script run and
    nothing be fetched.

    Args:
        it: What to show.

    Returns:
        HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    sections = [_board_section(place, board, it) for place, board in enumerate(it.boards)]
    curves = [_sweep_section(sweep) for sweep in it.sweeps]
    tables = overview(it.boards)
    several = len(it.boards) > 1
    values: dict[str, Any] = {
        "it": it,
        "base_method": BASE,
        "summary": summary(it),
        "sections": _anchors(sections, bool(curves), several, bool(it.spendings), bool(it.meanings)),
        "overviews": [(model, overview_table(*table)) for model, table in tables.items()] if several else [],
        "boards": sections,
        "curves": curves,
        "spent": _spent_section(it.spendings),
        "origin": _origin_section(it.sources),
    }
    return environment.get_template(TEMPLATE).render(values).lstrip()


def breakable(name: str) -> Markup:
    """A name that may go on in the next line after an underscore or a slash; everything else in it is escaped.

    Example:
        >>> breakable("few_shot <b>")
        Markup('few_<wbr>shot &lt;b&gt;')
    """
    return Markup(str(escape(name)).replace("_", "_<wbr>").replace("/", "/<wbr>"))  # noqa: S704 - escaped just now


def summary(it: Contents) -> str:
    """What the report is about, in one sentence."""
    methods = {method for board in it.boards for method in board.methods if method != BASE}
    methods |= {sweep.method for sweep in it.sweeps}
    benchmarks = {board.benchmark for board in it.boards} | {sweep.benchmark for sweep in it.sweeps}
    models = {board.model for board in it.boards} | {sweep.model for sweep in it.sweeps}
    counted = [_count(len(methods), "method"), _count(len(benchmarks), "benchmark"), _count(len(models), "model")]
    return f"{', '.join(counted[:-1])} and {counted[-1]}. Figures carry 95 % intervals."


def _anchors(
    sections: Sequence[BoardSection], curves: bool, several: bool, spent: bool, meanings: bool
) -> list[tuple[str, str]]:
    alone = len({section.model for section in sections}) == 1
    named = [(one.anchor, one.benchmark if alone else f"{one.benchmark}, {one.model}") for one in sections]
    return [
        *([("overview", "overview")] if several else []),
        *named,
        *([("strength", "strength")] if curves else []),
        *([("cost", "cost")] if spent else []),
        ("provenance", "provenance"),
        *([("meanings", "meanings")] if meanings else []),
    ]


def _board_section(place: int, board: Board, it: Contents) -> BoardSection:
    here = (board.benchmark, board.model)
    radars = [one for one in it.profiles if (one.benchmark, one.model) == here]
    rows = [row for figures in board.methods.values() for row in figures.values()]
    counts = [row.n for row in rows if row.metric == board.leading]
    return BoardSection(
        anchor=re.sub(r"[^a-z0-9]+", "-", f"board-{place}-{board.benchmark}".lower()),
        benchmark=board.benchmark,
        model=board.model,
        records=_count(max(counts), "record"),
        effects=board_table(board, board.effects, mark_best=True),
        costs=board_table(board, board.costs, mark_best=False) if board.costs else None,
        radars=_radars(radars[0], list(board.methods)) if radars else None,
        tests=tuple(_test_cells(test) for test in it.tests if (test.benchmark, test.model) == here),
        texts=tuple(one for one in it.texts if (one.benchmark, one.model) == here),
    )


def _test_cells(test: PairedTest) -> tuple[str, ...]:
    value, low, high, _ = test.difference
    other = "base model" if test.other == BASE else test.other
    interval = f"{number(low)} to {number(high)}" if math.isfinite(low) and math.isfinite(high) else ""
    effect = number(test.effect) if math.isfinite(test.effect) else ""
    return test.metric, test.method, other, number(value), interval, p_cell(test.p_holm), effect, wins_cell(test)


def _radars(of: Profiles, order: Sequence[str]) -> Radars:
    drawn = sorted(of.of, key=lambda one: order.index(one.method) if one.method in order else len(order))
    letters = {axis_label(axis.rstrip("+-")): axis.rstrip("+-") for axis in of.axes}
    both = any(axis.endswith(("+", "-")) for axis in of.axes)
    ends = f" {_ENDS}{_LOW_END if of.metric in OF_THE_TRAIT else ''}." if both else ""
    base = ("base model", tuple(_base_cell(of, place) for place in range(len(of.axes))))
    return Radars(
        metric=of.metric,
        middle=f"{of.scale[0]:g}",
        rim=f"{of.scale[1]:g}",
        legend=", ".join(f"{letter}\N{NO-BREAK SPACE}{trait}" for letter, trait in letters.items()) + "." + ends,
        axes=tuple(axis_label(axis) for axis in of.axes),
        pictures=tuple((one.method, radar(of, one)) for one in drawn),
        rows=(base, *((one.method, tuple(number(value) for value in one.values)) for one in drawn)),
    )


def _base_cell(of: Profiles, place: int) -> str:
    known = (one.base[place] for one in of.of)
    return number(next((value for value in known if value is not None), None))


def _sweep_section(sweep: Sweep) -> SweepSection:
    pictures = [(one.metric, ARROWS[direction(one.metric)], curve(sweep, one)) for one in sweep.curves]
    return SweepSection(sweep.method, sweep.setting, sweep.benchmark, tuple(pictures))


def _spent_section(spent: Sequence[Spending]) -> SpentSection:
    shown = {name: title for name, title in SPENT.items() if shows(spent, name)}
    digits = {"seconds": 1, "money": 4}
    rows = []
    for one in spent:
        values = [(getattr(one, name), digits.get(name, 0)) for name in shown]
        cells = tuple(f"{value:.{places}f}" if value is not None else "" for value, places in values)
        rows.append((one.method, one.benchmark, cells))
    return SpentSection(tuple(shown.values()), tuple(rows))


def _origin_section(found: Sequence[Source]) -> OriginSection:
    folders = [folder for one in found for folder in one.folders]
    root = os.path.commonpath(folders) if len({Path(folder).is_absolute() for folder in folders}) == 1 else ""
    rows = [(one, ", ".join(os.path.relpath(folder, root or ".") for folder in one.folders)) for one in found]
    versions = list(dict.fromkeys(one.versions for one in found if one.versions))
    alone = len(versions) == 1
    where = {
        text: ", ".join(dict.fromkeys(one.benchmark for one in found if one.versions == text)) for text in versions
    }
    texts = [f"Versions: {text}." if alone else f"Versions of {where[text]}: {text}." for text in versions]
    return OriginSection(root or ".", tuple(rows), tuple(texts))


def _count(number_of: int, thing: str) -> str:
    return f"{number_of} {thing}" if number_of == 1 else f"{number_of} {thing}s"
