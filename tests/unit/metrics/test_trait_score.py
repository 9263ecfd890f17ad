"""TRAIT scores over many items, against the formula item by item."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from metrics.trait_score import TraitScore, option_probabilities, trait_levels, trait_scoring
from tests.unit.metrics.tester import check_metric, check_precision, check_two_processes

TRAITS = ("openness", "narcissism", "psychopathy")
MAKE = partial(TraitScore, TRAITS)


def _batch(seed: int, items: int) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        "plain": torch.rand(items, 4, generator=source),
        "reversed_order": torch.rand(items, 4, generator=source),
        "trait": torch.randint(2, (items,), generator=source),  # the third trait never occurs
    }


BATCHES = [_batch(0, 9), _batch(1, 4), _batch(2, 7), _batch(3, 5)]
BATCHES[1]["plain"][0] = 0.0  # no probability on any option


def _reference(batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    high = dict.fromkeys(TRAITS, 0)
    number = dict.fromkeys(TRAITS, 0)
    items = empty = 0
    for batch in batches:
        for p, r, trait in zip(batch["plain"].tolist(), batch["reversed_order"].tolist(), batch["trait"], strict=True):
            items += 1
            if not sum(p) or not sum(r):
                empty += 1
                continue
            (pa, pb, pc, pd), (ra, rb, rc, rd) = ([x / sum(row) for x in row] for row in (p, r))
            scores = [pa + rb, pc + rd, pb + ra, pd + rc]
            high[TRAITS[trait]] += scores.index(max(scores)) < 2
            number[TRAITS[trait]] += 1
    shares = {f"trait_score/{t}": 100 * high[t] / number[t] if number[t] else math.nan for t in TRAITS}
    return shares | {"records": items, "empty_records": empty}


def test_class_against_reference(tmp_path: Path) -> None:
    check_metric(MAKE, BATCHES, _reference)
    check_precision(MAKE, BATCHES, _reference)
    check_two_processes(MAKE, BATCHES, lambda metric: metric.compute() | metric.per_record(), tmp_path)


def test_intervals_count_the_items_of_their_trait() -> None:
    metric = MAKE()
    for batch in BATCHES:
        metric.update(**batch)
    intervals = metric.intervals()
    assert sum(interval.n for interval in intervals.values()) == 24  # of 25 items one is empty
    assert intervals["trait_score/psychopathy"].n == 0
    assert math.isnan(intervals["trait_score/psychopathy"].value)


def test_a_missing_option_among_log_probabilities_is_not_certain() -> None:
    likelihood = [{"A": math.log(0.6), "B": math.log(0.3)}]
    torch.testing.assert_close(
        option_probabilities(likelihood, log=True), torch.tensor([[0.6, 0.3, 0.0, 0.0]], dtype=torch.float64)
    )
    released = option_probabilities(likelihood, log=True, as_released=True)
    torch.testing.assert_close(released, torch.tensor([[0.6, 0.3, 1.0, 1.0]], dtype=torch.float64))


def test_traits_and_items_without_a_value() -> None:
    item = {"A": 0.7, "B": 0.1, "C": 0.1, "D": 0.1}
    nothing: dict[str, float] = {}
    right = trait_scoring(["narcissism", "narcissism"], [item, nothing], [item, item], TRAITS)
    assert right.counts["narcissism"] == {"high": 1, "low": 0}
    assert right.levels.empty.tolist() == [False, True]
    assert right.score_list == [None, 100.0, None]
    released = trait_scoring(["narcissism"], [item], [item], TRAITS, as_released=True)
    assert released.score_list == [100.0]


def test_bad_arguments() -> None:
    half, item = torch.full((2, 4), 0.25), {"A": 1.0}
    for call, message in (
        (lambda: trait_levels(half, half[:1]), "`reversed_order` expected shape"),
        (lambda: trait_levels(half[:, :3], half), "`plain` expected shape"),
        (lambda: trait_levels(half, -half), "take exp of log-probabilities"),
        (lambda: trait_scoring(["openness"], [item], []), "expected 1 items"),
        (lambda: trait_scoring(["courage"], [item], [item]), "`personalities` expected names"),
        (lambda: MAKE().update(half, half, torch.zeros(3)), "`trait` expected shape"),
        (lambda: MAKE().update(half, half, torch.tensor([0, 3])), "`trait` expected numbers below 3 but got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
