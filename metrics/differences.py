"""Paired differences between methods that answered for the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from metrics.benchmark import finite
from metrics.bootstrap import bootstrap_difference
from metrics.outcome import MetricRow, RecordScores


def difference_rows(
    metrics: Sequence[str], records: Sequence[RecordScores], others: Mapping[str, Sequence[RecordScores]]
) -> list[MetricRow]:
    """How much higher a method's figures are than those of others, record by record.

    Args:
        metrics: Names of figures that are means over records.
        records: The method's scores.
        others: Scores of each other method, of the same records.

    Returns:
        For each metric and other method a row `<metric>_difference/<other>`, with the interval of the paired
        difference; records that lack a value on one side are left out.

    Example:
        >>> from personas.persona import Persona
        >>> who = Persona("case 1")
        >>> ours = [RecordScores(str(k), k, who, {}, {"error": float(k)}) for k in range(4)]
        >>> theirs = [RecordScores(str(k), k, who, {}, {"error": k + 0.5}) for k in range(4)]
        >>> row = difference_rows(["error"], ours, {"few_shot": theirs})[0]
        >>> row.metric, row.value, row.ci_low, row.ci_high, row.n
        ('error_difference/few_shot', -0.5, -0.5, -0.5, 4)
    """
    return [_row(metric, records, name, other) for metric in metrics for name, other in others.items()]


def _row(metric: str, records: Sequence[RecordScores], name: str, other: Sequence[RecordScores]) -> MetricRow:
    theirs = {record.id: record.values.get(metric) for record in other}
    pairs = [(record.values.get(metric), theirs.get(record.id)) for record in records]
    both = [(mine, their) for mine, their in pairs if mine is not None and their is not None]
    left, right = torch.tensor(both, dtype=torch.float64).reshape(-1, 2).unbind(-1)
    interval = bootstrap_difference(left, right)
    return MetricRow(
        metric=f"{metric}_difference/{name}",
        persona="all",
        value=finite(interval.value),
        ci_low=finite(interval.low),
        ci_high=finite(interval.high),
        n=interval.n,
        base_value=None,
        undefined=len(pairs) - len(both),
    )
