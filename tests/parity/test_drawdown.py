"""Drawdown against the recorded values of the release (golden case `drawdown`)."""

import math
from pathlib import Path
from typing import Any

import pytest

from metrics.drawdown import Drawdown, drawdown
from tests.parity.golden import assert_matches, load_case, number


def test_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "drawdown")
    for instance in case.instances:
        with subtests.test(instance.name):
            tensors: dict[str, Any] = instance.tensors()
            assert_matches(drawdown(**tensors).value.squeeze(0), instance["expected"]["value"], case.tolerance)


def test_the_class_gives_the_same_or_reports_an_empty_record(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "drawdown")
    for instance in case.instances:
        with subtests.test(instance.name):
            tensors, expected = instance.tensors(), instance["expected"]["value"]
            metric = Drawdown()
            metric.update(tensors["logits_pre"], tensors["logits_post"], tensors["mask"])
            empty = math.isnan(number(expected))
            assert metric.compute()["empty_records"] == int(empty)
            if not empty:
                assert_matches(metric.compute()["drawdown"], expected, case.tolerance)
