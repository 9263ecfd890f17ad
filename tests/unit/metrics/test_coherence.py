"""Coherence: which texts count, and the share of records."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from metrics.coherence import Coherence, coherence, mean_entropy, n_gram_entropy
from tests.unit.metrics.tester import check_metric, check_two_processes

FLUENT = "Long walks by the sea calm me down, and I come home with fresh ideas for the whole week."
OTHER = "Crowds wear me out quickly; a quiet evening with one good friend is what I would pick any day."
BROKEN = "yes yes yes yes yes yes yes yes yes"
BATCHES: list[dict[str, list[str]]] = [
    {"before": [FLUENT, FLUENT, BROKEN], "after": [OTHER, BROKEN, FLUENT]},
    {"before": [FLUENT], "after": [""]},
    {"before": [OTHER, OTHER], "after": [FLUENT, OTHER]},
    {"before": [], "after": []},
]


def _entropy(text: str) -> float:
    """The formula on whitespace tokens, which suffices to tell these texts apart."""
    words = text.split()
    sums = []
    for n in (2, 3):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        sums.append(-sum(c / grams.total() * math.log2(c / grams.total()) for c in grams.values()))
    return (2 / 3 * sums[0] + 4 / 3 * sums[1]) / 2


def _reference(batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    pairs = [pair for batch in batches for pair in zip(batch["before"], batch["after"], strict=True)]
    coherent = [_entropy(before) >= 3.5 and _entropy(after) >= 3.5 for before, after in pairs]
    return {
        "coherent_rate": sum(coherent) / len(pairs) if pairs else math.nan,
        "records": len(pairs),
        "empty_records": 0,
    }


def test_class_against_reference() -> None:
    check_metric(Coherence, BATCHES, _reference)


def test_two_processes(tmp_path: Path) -> None:
    check_two_processes(Coherence, BATCHES, lambda metric: metric.compute() | metric.per_record(), tmp_path)


def test_exactly_the_threshold_is_coherent() -> None:
    value = n_gram_entropy(FLUENT).value
    assert coherence([FLUENT], [FLUENT], threshold=value)[0, 0] == 1
    assert coherence([FLUENT], [FLUENT], threshold=math.nextafter(value, 9))[0, 0] == 0


def test_interval_of_the_share() -> None:
    metric = Coherence()
    metric.update([FLUENT] * 40, [FLUENT] * 36 + [BROKEN] * 4)
    interval = metric.intervals()["coherent_rate"]
    assert interval.n == 40
    assert 0.75 < interval.low < 0.9 < interval.high < 1.0


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="`after` expected 1 texts"):
        coherence([FLUENT], [])
    with pytest.raises(ValueError, match="`threshold` expected"):
        Coherence(threshold=-1.0)
    with pytest.raises(ValueError, match="`kind` expected"):
        mean_entropy([1.0], "harmonic")  # type: ignore[arg-type]
    assert math.isnan(mean_entropy([]))
    assert mean_entropy([0.0, 3.0], "geometric") == 0
