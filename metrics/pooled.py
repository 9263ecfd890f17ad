"""Records of one item, asked of several personas, as one: they are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metrics.outcome import RecordScores
from personas.persona import Persona

Values = dict[str, float | None]


def by_item(
    records: Sequence[RecordScores], item_of: Callable[[RecordScores], str], contrast: str | None = None
) -> list[RecordScores]:
    """Average the scores of each item over the personas it was asked of.

    Args:
        records: Scores of items under personas.
        item_of: From a record to the name of its item.
        contrast: A metric; `<contrast>_range` becomes the item's mean of it under personas above average minus that
            under personas below.

    Returns:
        One record per item, in the order of their first ones. A metric that one of an item's records lacks is averaged
        over the others.

    Example:
        >>> def scored(level, value):
        ...     return RecordScores(f"1:{level}", 0, Persona.trait("openness", level), {"m": 1.0}, {"m": value})
        >>> by_item([scored(1, 4.0), scored(-1, 1.0)], lambda record: record.id.split(":")[0], "m")[0].values
        {'m': 2.5, 'm_range': 3.0}
    """
    groups: dict[str, list[RecordScores]] = {}
    for record in records:
        groups.setdefault(item_of(record), []).append(record)
    return [_joined(name, members, contrast) for name, members in groups.items()]


def _joined(name: str, members: Sequence[RecordScores], contrast: str | None) -> RecordScores:
    sides = []
    for side in ("base", "values"):
        scores: list[Values] = [getattr(record, side) for record in members]
        joined = {metric: _mean([values.get(metric) for values in scores]) for metric in scores[0]}
        if contrast is not None:
            ends = [
                _mean([values.get(contrast) for record, values in zip(members, scores, strict=True) if wanted(record)])
                for wanted in (_above, _below)
            ]
            high, low = ends
            joined[f"{contrast}_range"] = None if high is None or low is None else high - low
        sides.append(joined)
    base, values = sides
    return RecordScores(name, members[0].order, Persona(name), base, values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _above(record: RecordScores) -> bool:
    return any(level > 0 for level in record.persona.levels.values())


def _below(record: RecordScores) -> bool:
    return any(level < 0 for level in record.persona.levels.values())
