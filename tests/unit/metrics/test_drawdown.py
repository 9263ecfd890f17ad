"""Drawdown over many records, against torch's own divergence record by record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from metrics.drawdown import Drawdown, drawdown
from metrics.token_log_probs import token_kl
from tests.unit.metrics.tester import check_metric, check_precision, check_two_processes


def _batch(seed: int, records: Sequence[int], spread: float = 1.0) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    rows, tokens, vocabulary = len(records), 6, 9
    pre = torch.randn(rows, tokens, vocabulary, generator=source) * spread
    return {
        "pre": pre,
        "post": pre + torch.randn(rows, tokens, vocabulary, generator=source),
        "mask": torch.arange(tokens) >= torch.randint(0, tokens, (rows, 1), generator=source),
        "record": torch.tensor(records),
    }


BATCHES = [_batch(0, [0, 0, 1]), _batch(1, [0, 1]), _batch(2, [0]), _batch(3, [0, 1, 1])]
BATCHES[1]["mask"][0] = False  # a record with nothing to compare


def _reference(batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each record's masked positions through `torch.nn.functional.kl_div`."""
    values, records = [], 0
    for batch in batches:
        for number in batch["record"].unique():
            records += 1
            chosen = batch["mask"] & (batch["record"] == number)[:, None]
            if chosen.any():
                before, after = (batch[side][chosen].double().log_softmax(-1) for side in ("pre", "post"))
                kl = torch.nn.functional.kl_div(after, before, reduction="batchmean", log_target=True)
                values.append(kl.item())
    mean = sum(values) / len(values) if values else float("nan")
    return {"drawdown": mean, "records": records, "empty_records": records - len(values)}


def test_class_against_reference() -> None:
    check_metric(Drawdown, BATCHES, _reference)


def test_half_precision_by_value() -> None:
    check_precision(Drawdown, BATCHES, _reference)
    check_precision(Drawdown, [_batch(4, [0, 1, 1], spread=40.0)], _reference, rtol=1e-4)


def test_two_processes(tmp_path: Path) -> None:
    check_two_processes(Drawdown, BATCHES, lambda metric: metric.compute() | metric.per_record(), tmp_path)


def test_divergence_per_position_gives_the_same_as_logits() -> None:
    for batch in BATCHES:
        from_logits, from_kl = Drawdown(), Drawdown()
        from_logits.update(**batch)
        kl = token_kl(batch["pre"], batch["post"], batch["mask"])
        from_kl.update(kl.masked_fill(~batch["mask"], torch.nan), None, batch["mask"], batch["record"])
        for name, value in from_logits.compute().items():
            torch.testing.assert_close(from_kl.compute()[name], value)


def test_tokens_ruled_out_before_add_nothing() -> None:
    pre = torch.tensor([[[0.0, 0.0, -torch.inf]]])
    post = torch.zeros(1, 1, 3)
    expected = torch.log(torch.tensor(3.0) / 2)  # two tokens at 1/2 against 1/3
    torch.testing.assert_close(drawdown(pre, post, torch.ones(1, 1)).value, expected[None])
    torch.testing.assert_close(drawdown(pre, pre, torch.ones(1, 1)).value, torch.zeros(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": torch.ones(3, 5)}, "`mask` expected shape"),
        ({"post": torch.zeros(3, 5, 9)}, "`logits_post` expected at least as many positions"),
        ({"post": torch.zeros(3, 6, 8)}, "`logits_post` expected"),
        ({"pre": torch.zeros(3, 6)}, "`logits` expected shape"),
        ({"record": torch.zeros(2)}, "`record` expected shape"),
    ],
)
def test_shapes_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Drawdown().update(**(BATCHES[0] | change))
