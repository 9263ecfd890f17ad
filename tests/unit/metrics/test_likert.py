"""Alignment of questionnaire answers over many people, against loops over people, traits and items."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from metrics.likert import LikertAlignment, likert_alignment, papi_scoring
from tests.unit.metrics.tester import check_metric, check_precision, check_two_processes

TRAITS = ("openness", "neuroticism")


def _batch(seed: int, people: int, items: int = 12) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    size = (people * items,)
    scores = torch.randint(1, 6, size, generator=source).float()
    scores[torch.rand(size, generator=source) < 0.1] = torch.nan
    return {
        "scores": scores,
        "values": torch.randint(0, 6, size, generator=source),
        "keys": torch.randint(0, 2, size, generator=source) * 2 - 1,
        "traits": torch.arange(items).remainder(2).repeat(people),
        "person": torch.arange(people).repeat_interleave(items),
    }


BATCHES = [_batch(0, 3), _batch(1, 1), _batch(2, 2), _batch(3, 4)]
BATCHES[2]["values"][BATCHES[2]["person"] == 1] = 0  # a person who answered nothing


def _reference(batches: Sequence[Mapping[str, Any]], missing: int = 0) -> dict[str, float]:
    """Mean |score - value| per person and trait; `missing` is the answer that is left out."""
    people: list[list[float | None]] = []
    failures = items = 0
    for batch in batches:
        items += len(batch["scores"])
        failures += sum(math.isnan(score) for score in batch["scores"].tolist())
        for person in range(int(batch["person"].max()) + 1):
            by_trait: list[float | None] = []
            for trait in range(len(TRAITS)):
                errors = [
                    abs(score - value)
                    for score, value, t, p in zip(
                        *(batch[k].tolist() for k in ("scores", "values", "traits", "person")), strict=True
                    )
                    if (t, p) == (trait, person) and not math.isnan(score) and value != missing
                ]
                by_trait.append(sum(errors) / len(errors) if errors else None)
            people.append(by_trait)
    whole = [[error for error in person if error is not None] for person in people]
    sums = [sum(errors) for errors in whole if len(errors) == len(TRAITS)]
    figures = {"alignment_error": sum(sums) / len(sums) if sums else math.nan}
    for number, name in enumerate(TRAITS):
        known = [error for error in (person[number] for person in people) if error is not None]
        figures[f"alignment_error/{name}"] = sum(known) / len(known)
    figures |= {"records": len(people), "empty_records": len(people) - len(sums)}
    return figures | {"items": items, "parse_failures": failures}


def test_class_against_reference() -> None:
    make = partial(LikertAlignment, TRAITS)
    check_metric(make, [BATCHES[0], BATCHES[1], BATCHES[3]], _reference)
    check_metric(partial(make, as_released=True), BATCHES, partial(_reference, missing=-1))
    metric = make()
    metric.update(**BATCHES[2])
    assert metric.compute()["empty_records"] == 1
    assert torch.isfinite(metric.compute()["alignment_error"])


def test_precision_and_two_processes(tmp_path: Path) -> None:
    check_precision(partial(LikertAlignment, TRAITS), BATCHES, _reference)
    read = lambda metric: metric.compute() | metric.per_record()  # noqa: E731
    check_two_processes(partial(LikertAlignment, TRAITS), BATCHES, read, tmp_path)


def test_a_reversed_item_counts_for_the_trait_but_not_for_the_distance() -> None:
    scores, values, traits = torch.tensor([4.0, 2.0]), torch.tensor([5, 5]), torch.tensor([0, 0])
    plain = likert_alignment(scores, values, torch.tensor([1, 1]), traits, num_traits=1)
    turned = likert_alignment(scores, values, torch.tensor([1, -1]), traits, num_traits=1)
    assert (plain.mean.item(), turned.mean.item()) == (3.0, 4.0)  # (4 + 2) / 2, (4 + (6 - 2)) / 2
    assert (plain.std.item(), turned.std.item()) == (1.0, 0.0)
    assert plain.alignment_error.item() == turned.alignment_error.item() == 2.0  # (|4 - 5| + |2 - 5|) / 2


def test_right_and_released_reading() -> None:
    answers, traits, keys, values = ["The answer is B.", "A", "(C)"], ["O", "O", "O"], [1, 1, 1], [4, 5, 0]
    right = papi_scoring(answers, traits, keys, values)
    assert right.letters == ["B", "A", "C"]
    assert right.abs_errors == [0.0, 0.0, None]  # the person left the third item out
    released = papi_scoring(answers, traits, keys, values, as_released=True)
    assert released.letters == ["E", None, "C"]
    assert released.abs_errors == [3.0, None, 3.0]
    assert math.isnan(right.sum_of_trait_mean_abs_error)  # four traits were not asked about


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.ones(5)}, "`values` expected one per item"),
        ({"scores": torch.full((36,), 7.0)}, "`scores` expected numbers from 1 to 5 but got 7"),
        ({"values": torch.full((36,), 9)}, "`values` expected numbers from 0 to 5"),
        ({"traits": torch.full((36,), 2)}, "`traits` expected numbers from 0 to 1"),
        ({"keys": torch.zeros(36)}, "`keys` expected 1 or -1"),
    ],
)
def test_bad_items(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LikertAlignment(TRAITS).update(**(BATCHES[0] | change))


def test_unknown_trait_letter() -> None:
    with pytest.raises(ValueError, match=r"`traits` expected letters of .* but got \['X'\]"):
        papi_scoring(["(A)."], ["X"], [1], [3])
