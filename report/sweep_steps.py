"""From one value of a swept setting to the next: by how much the figures change, record by record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from metrics.benchmark import finite
from metrics.bootstrap import Interval, bootstrap_difference
from metrics.glossary import ranked
from report.paired_tests import RecordFiles
from report.sweep_figure import Point, main_figures

STEP = "_step"
"""What the names of these figures end with: `trait_expression_step`."""


def step_rows(name: str, points: Sequence[Point]) -> list[dict[str, Any]]:
    """The change of every figure of an effect from each value of a setting to the next one.

    Args:
        name: The setting.
        points: Each value with the rows of its evaluation, whose folder holds the records.

    Returns:
        Rows of a results file, `<metric>_step/<name>=<value>` at the value that the step ends at, with the interval of
        the paired difference. Values that are numbers are taken by size, others as they were given. Records of one
        item under several personas are not independent and are averaged first.

    Raises:
        InputError: A file of records is faulty.
    """
    files = RecordFiles()
    found = []
    for before, after in pairwise(_by_size(points)):
        old, new = (main_figures(rows) for _, rows in (before, after))
        for metric in ranked(set(old) & set(new), "effect"):
            scores = [files.scores(figures[metric], [metric]).get(metric, ({}, {}))[1] for figures in (old, new)]
            common = [item for item in scores[1] if item in scores[0]]
            if common:
                was, now = (torch.tensor([side[item] for item in common], dtype=torch.float64) for side in scores)
                found.append(_row(new[metric].raw, f"{metric}{STEP}/{name}={after[0]}", bootstrap_difference(now, was)))
    return found


def _row(raw: Any, metric: str, step: Interval) -> dict[str, Any]:
    ends = {"value": finite(step.value), "ci_low": finite(step.low), "ci_high": finite(step.high)}
    return {**raw, "metric": metric, **ends, "n": step.n, "base_value": None}


def _by_size(points: Sequence[Point]) -> list[Point]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in points):
        return sorted(points, key=lambda point: point[0])
    return list(points)
