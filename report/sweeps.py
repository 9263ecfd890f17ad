"""Figures over the values of one setting, such as a strength: what strength curves show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.glossary import MEANINGS, ranked
from metrics.result_rows import ALL, ResultRow, by_run

_KEYED = re.compile(r"([^/]+)/([\w.]+)=(.*)", re.DOTALL)
_EFFECTS, _COSTS = 2, 3
_TELLING_COSTS = ("coherent_rate", "perplexity", "drawdown", "talk_accuracy", "mass_outside")


@dataclass(frozen=True)
class Curve:
    """One figure over the values of a setting.

    Attributes:
        metric: The figure.
        rows: The figure at each value.
    """

    metric: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True)
class Sweep:
    """One method evaluated at several values of one setting.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        method: The method.
        setting: The setting's name.
        values: Its values, as they stand in the results.
        places: Where each is drawn: at its number, or at its place in the list where not all are numbers.
        numeric: Whether all are numbers.
        curves: The leading figures of what the setting brings and costs.
    """

    benchmark: str
    model: str
    method: str
    setting: str
    values: tuple[str, ...]
    places: tuple[float, ...]
    numeric: bool
    curves: tuple[Curve, ...]

    @property
    def moves(self) -> bool:
        """Whether any figure depends on the setting; those of a control that stood beside the swept method do not."""
        return any(len({row.value for row in curve.rows}) > 1 for curve in self.curves)


def swept(row: ResultRow) -> bool:
    """Whether a row is a figure at one value of a setting."""
    return row.persona == ALL and _KEYED.fullmatch(row.metric) is not None


def sweeps(rows: Sequence[ResultRow]) -> list[Sweep]:
    """Find the sweeps among results: rows named `<figure>/<setting>=<value>` over all records.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        One for each method and setting with figures at two values or more.
    """
    found = []
    for (benchmark, model), methods in by_run([row for row in rows if swept(row)]).items():
        for method, of_method in methods.items():
            settings: dict[str, dict[str, dict[str, ResultRow]]] = {}
            for row in of_method:
                keyed = _KEYED.fullmatch(row.metric)
                if keyed is not None and row.value is not None:
                    metric, setting, value = keyed.groups()
                    settings.setdefault(setting, {}).setdefault(metric, {})[value] = row
            for setting, figures in settings.items():
                sweep = _sweep((benchmark, model, method, setting), figures)
                if sweep is not None:
                    found.append(sweep)
    return [sweep for sweep in found if sweep.moves or not any(_same(sweep, other) and other.moves for other in found)]


def _same(one: Sweep, other: Sweep) -> bool:
    return (one.benchmark, one.model, one.setting) == (other.benchmark, other.model, other.setting)


def _sweep(names: tuple[str, str, str, str], figures: dict[str, dict[str, ResultRow]]) -> Sweep | None:
    values = list(dict.fromkeys(value for at in figures.values() for value in at))
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    numeric = len(known) == len(values)
    places = known if numeric else [float(place) for place in range(len(values))]
    order = sorted(range(len(values)), key=lambda place: places[place])
    effects = ranked(set(figures), "effect")[:_EFFECTS] or [name for name in figures if name not in MEANINGS][:_EFFECTS]
    costs = [name for name in _TELLING_COSTS if name in figures][:_COSTS]
    whole = [name for name in (*effects, *costs) if len(figures[name]) == len(values)]
    if len(values) < 2 or not whole:
        return None
    return Sweep(
        *names,
        values=tuple(values[place] for place in order),
        places=tuple(places[place] for place in order),
        numeric=numeric,
        curves=tuple(Curve(name, tuple(figures[name][values[place]] for place in order)) for name in whole),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
