"""One figure trait by trait, of the base model and of a method: what a radar shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.result_rows import ResultRow, by_run
from personas.traits import LETTER_OF_TRAIT, TRAITS
from report.boards import BASE

FEWEST_AXES = 3
PREFERRED = (
    "trait_expression",
    "trait_score",
    "npti_trait_score",
    "pae",
    "trait_mean",
    "level_followed",
    "acc",
    "edit_success",
    "tpei",
)
"""Figures that say how much of a trait shows, the most telling first; others are not drawn."""
OF_THE_TRAIT = ("trait_expression", "trait_score", "trait_mean")
"""Those that say how high the trait itself stands, whichever end of it was wanted."""
_ENDS = ("+", "-")
_SCALES = ((0.0, 1.0), (-1.0, 1.0), (1.0, 5.0), (0.0, 100.0))


@dataclass(frozen=True)
class Profile:
    """A figure for each trait, or for each end of each trait.

    Attributes:
        method: Whose it is.
        values: The method's figure on each axis; None where it has none.
        base: The base model's.
    """

    method: str
    values: tuple[float | None, ...]
    base: tuple[float | None, ...]


@dataclass(frozen=True)
class Profiles:
    """The profiles of all methods of one board, on the same axes and scale.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        metric: The figure.
        axes: Traits, or ends of traits such as `openness+`; those of one trait lie opposite each other.
        scale: The figure in the middle and at the rim.
        of: The profiles.
    """

    benchmark: str
    model: str
    metric: str
    axes: tuple[str, ...]
    scale: tuple[float, float]
    of: tuple[Profile, ...]


def profiles(rows: Sequence[ResultRow]) -> list[Profiles]:
    """Find what radars can show: for each benchmark and model the most telling figure that has rows for traits.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        One for each benchmark and model that has such a figure on three axes or more.
    """
    found = []
    for (benchmark, model), methods in by_run(rows).items():
        for metric in PREFERRED:
            parts = {method: _parts(of_method, metric) for method, of_method in methods.items()}
            axes = _shared_axes([set(figures) for method, figures in parts.items() if method != BASE and figures])
            shown = [_profile(method, figures, axes) for method, figures in parts.items() if method != BASE]
            drawn = tuple(one for one in shown if sum(value is not None for value in one.values) >= FEWEST_AXES)
            if len(axes) >= FEWEST_AXES and drawn:
                found.append(Profiles(benchmark, model, metric, axes, _scale(drawn), drawn))
                break
    return found


def _shared_axes(of_methods: Sequence[set[str]]) -> tuple[str, ...]:
    """The axes that all methods have figures on, so that every shape closes; else those that any has."""
    if not of_methods:
        return ()
    shared = _axes(set.intersection(*of_methods))
    return shared if len(shared) >= FEWEST_AXES else _axes(set.union(*of_methods))


def is_part(row: ResultRow) -> bool:
    """Whether a row is a figure of one trait, or of one end of it, that a radar may show."""
    metric, _, label = row.metric.partition("/")
    return metric in PREFERRED and _split(label)[0] in TRAITS


def axis_label(axis: str) -> str:
    """A short name of a trait or of its end.

    Example:
        >>> axis_label("openness+"), axis_label("agreeableness"), axis_label("narcissism-")
        ('O+', 'A', 'Nar−')
    """
    trait, end = _split(axis)
    return LETTER_OF_TRAIT.get(trait, trait[:3].capitalize()) + end.replace("-", "−")


def _parts(rows: Sequence[ResultRow], metric: str) -> dict[str, ResultRow]:
    """The rows of a figure for traits or their ends."""
    named = ((row, *row.metric.partition("/")) for row in rows)
    return {label: row for row, name, _, label in named if name == metric and _split(label)[0] in TRAITS}


def _axes(labels: set[str]) -> tuple[str, ...]:
    """Both ends of all traits where there are as many, high ones first, so that ends lie opposite; else traits."""
    ends = [f"{trait}{end}" for end in _ENDS for trait in TRAITS if f"{trait}{end}" in labels]
    traits = [trait for trait in TRAITS if trait in labels]
    return tuple(ends if len(ends) >= max(FEWEST_AXES, len(traits)) else traits)


def _profile(method: str, figures: Mapping[str, ResultRow], axes: Sequence[str]) -> Profile:
    on_axes = [figures.get(axis) for axis in axes]
    return Profile(
        method,
        tuple(row.value if row is not None else None for row in on_axes),
        tuple(row.base_value if row is not None else None for row in on_axes),
    )


def _scale(drawn: Sequence[Profile]) -> tuple[float, float]:
    """The narrowest customary scale that holds all values, or their own range."""
    values = [value for one in drawn for value in (*one.values, *one.base) if value is not None]
    low, high = min(values), max(values)
    for least, most in _SCALES:
        if least <= low and high <= most:
            return least, most
    room = 0.1 * (high - low) or 1.0
    return low - room, high + room


def _split(axis: str) -> tuple[str, str]:
    return (axis[:-1], axis[-1]) if axis.endswith(_ENDS) else (axis, "")
