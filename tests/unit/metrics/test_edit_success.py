"""Edit success over many records, against a loop over records in float64."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from metrics.edit_success import EditSuccess, edit_success, edit_success_from_log_probs
from metrics.token_log_probs import label_log_probs, shifted
from tests.unit.metrics.tester import check_metric, check_precision, check_two_processes

VOCABULARY = 11
PARTS = ("edit_success", "z_per", "z_topic_raw", "mean_logp_same_post", "mean_logp_other_post")


def _batch(seed: int, layout: Sequence[tuple[int, int]], spread: float = 2.0) -> dict[str, Any]:
    """Records with (same rows, other rows) each; answers of different lengths under left padding."""
    source = torch.Generator().manual_seed(seed)
    same = [flag for ours, others in layout for flag in [True] * ours + [False] * others]
    record = [number for number, (ours, others) in enumerate(layout) for _ in range(ours + others)]
    rows, tokens = len(same), 7
    start = torch.randint(1, tokens - 1, (rows,), generator=source)
    return {
        "pre": torch.randn(rows, tokens, VOCABULARY, generator=source) * spread,
        "post": torch.randn(rows, tokens, VOCABULARY, generator=source) * spread,
        "labels": torch.randint(VOCABULARY, (rows, tokens), generator=source),
        "mask": torch.arange(tokens) >= start[:, None],
        "same_mask": torch.tensor(same),
        "record": torch.tensor(record),
    }


BATCHES = [
    _batch(0, [(3, 6), (2, 2)]),
    _batch(1, [(1, 4), (2, 0), (4, 1)]),
    _batch(2, [(2, 3)]),
    _batch(3, [(0, 2), (1, 1)]),
]


def _reference(batches: Sequence[Mapping[str, Any]], shift: int = 1) -> dict[str, float]:
    """The formulas of the paper record by record and token by token."""
    figures: list[tuple[float, ...]] = []
    records = 0
    for batch in batches:
        for number in range(int(batch["record"].max()) + 1):
            records += 1
            sums: dict[str, list[float]] = {"before": [], "after": [], "other": []}
            for row in (batch["record"] == number).nonzero().flatten().tolist():
                for t in range(shift, batch["labels"].shape[1]):
                    if not batch["mask"][row, t]:
                        continue
                    label = batch["labels"][row, t]
                    before, after = (
                        batch[side][row, t - shift].double().log_softmax(-1)[label].item() for side in ("pre", "post")
                    )
                    if batch["same_mask"][row]:
                        sums["before"].append(before)
                        sums["after"].append(after)
                    else:
                        sums["other"].append(after)
            if sums["after"] and sums["other"]:
                a, b, c = (sum(sums[name]) / len(sums[name]) for name in ("before", "after", "other"))
                z_per, raw = 1 / (1 + math.exp(c - b)), math.exp(b - a)
                figures.append((z_per * min(1, raw), z_per, raw, b, c))
    columns = zip(*figures, strict=True) if figures else [[]] * len(PARTS)
    means = [sum(column) / len(figures) if figures else math.nan for column in columns]
    return dict(zip(PARTS, means, strict=True)) | {"records": records, "empty_records": records - len(figures)}


def test_class_against_reference() -> None:
    check_metric(EditSuccess, BATCHES, _reference)
    check_metric(partial(EditSuccess, "as_released"), BATCHES, partial(_reference, shift=0))
    check_metric(partial(EditSuccess, keep_records=False), BATCHES, _reference)


def test_half_precision_by_value() -> None:
    check_precision(EditSuccess, BATCHES, _reference)
    # logits far apart: in float16 an exponential would overflow and a mean would lose its digits
    check_precision(EditSuccess, [_batch(4, [(3, 3), (2, 2)], spread=30.0)], _reference, rtol=1e-4)


def test_sums_and_records_of_two_processes(tmp_path: Path) -> None:
    for number, batches in enumerate(
        (BATCHES, BATCHES[:3], BATCHES[:1])
    ):  # the last leaves one process without a record
        folder = tmp_path / str(number)
        folder.mkdir()
        check_two_processes(EditSuccess, batches, lambda metric: metric.compute() | metric.per_record(), folder)


def test_log_probabilities_give_the_same_as_logits() -> None:
    for batch in BATCHES:
        from_logits, from_log_probs = EditSuccess(), EditSuccess()
        from_logits.update(**batch)
        pre, labels, mask = shifted("next_token", batch["pre"], batch["labels"], batch["mask"])
        post = batch["post"][:, :-1]
        from_log_probs.update(
            label_log_probs(pre, labels, mask),
            label_log_probs(post, labels, mask),
            mask,
            batch["same_mask"],
            batch["record"],
        )
        assert from_logits.compute().keys() == from_log_probs.compute().keys()
        for name, value in from_logits.compute().items():
            torch.testing.assert_close(from_log_probs.compute()[name], value, equal_nan=True)


def test_a_record_without_any_row_is_empty_when_their_number_is_given() -> None:
    batch = _batch(5, [(1, 1), (2, 2)])
    batch["record"] = batch["record"] * 2
    parts = edit_success(*(batch[k] for k in ("pre", "post", "labels", "mask", "same_mask", "record")), num_records=4)
    assert parts.empty.tolist() == [False, True, False, True]
    metric = EditSuccess()
    metric.update(**batch, num_records=4)
    assert metric.compute()["empty_records"] == 2
    assert torch.isfinite(metric.compute()["edit_success"])


def test_what_the_mask_hides_is_never_read() -> None:
    batch = _batch(6, [(2, 2)])
    mask = batch["mask"].float()
    pre, post = torch.randn(4, 7), torch.randn(4, 7)
    clean = edit_success_from_log_probs(pre, post, mask, batch["same_mask"])
    hidden = ~batch["mask"]
    dirty = edit_success_from_log_probs(
        pre.masked_fill(hidden, torch.nan), post.masked_fill(hidden, -torch.inf), mask, batch["same_mask"]
    )
    torch.testing.assert_close(dirty, clean)


def test_a_broken_model_is_not_taken_for_an_empty_record() -> None:
    batch = _batch(7, [(2, 2), (1, 1)])
    batch["post"][0] = torch.nan
    metric = EditSuccess()
    metric.update(**batch)
    assert metric.compute()["empty_records"] == 0
    assert torch.isnan(metric.compute()["edit_success"])
    assert math.isnan(metric.intervals()["edit_success"].low)


def test_gradients_reach_the_logits() -> None:
    batch = _batch(8, [(2, 2)])
    post = batch["post"].requires_grad_()
    edit_success(batch["pre"], post, batch["labels"], batch["mask"], batch["same_mask"]).es.sum().backward()
    assert post.grad is not None
    assert post.grad.abs().sum() > 0
    assert torch.isfinite(post.grad).all()


def test_intervals_are_over_records_and_paired_against_the_base() -> None:
    base, edited = EditSuccess(), EditSuccess()
    for batch in BATCHES:
        base.update(**(batch | {"post": batch["pre"]}))
        edited.update(**batch)
    interval = edited.intervals()["edit_success"]
    assert interval.n == 6
    assert interval.low < interval.value < interval.high
    torch.testing.assert_close(interval.value, edited.compute()["edit_success"].item())
    difference = edited.intervals(base=base)["edit_success"]
    assert difference.n == 6
    expected = edited.compute()["edit_success"] - base.compute()["edit_success"]
    torch.testing.assert_close(difference.value, expected.item())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(2, 7, dtype=torch.long)}, "`labels` expected shape"),
        ({"mask": torch.ones(9, 6)}, "`mask` expected shape"),
        ({"same_mask": torch.ones(3)}, "`same_mask` expected shape"),
        ({"record": torch.zeros(3)}, "`record` expected shape"),
        ({"pre": torch.zeros(9, 7)}, "expected shape"),
        ({"num_records": 1}, "`record` expected numbers from 0 to 0"),
    ],
)
def test_shapes_are_checked(change: dict[str, Any], message: str) -> None:
    batch = _batch(9, [(3, 3), (2, 1)]) | change
    with pytest.raises(ValueError, match=message):
        EditSuccess().update(**batch)


def test_unknown_variant() -> None:
    with pytest.raises(ValueError, match="`variant` expected"):
        EditSuccess("shifted")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="create it with keep_records=True"):
        EditSuccess(keep_records=False).per_record()
