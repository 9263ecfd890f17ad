"""Edit success against the recorded values of the release (golden cases `edit_success` and `edit_success_icl`)."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metrics.edit_success import EditSuccess, EditSuccessParts, edit_success, edit_success_icl
from metrics.token_log_probs import Variant
from tests.parity.golden import Instance, assert_matches, load_case, number


def _parts(instance: Instance, variant: Variant) -> EditSuccessParts:
    """A golden batch is one record."""
    tensors: dict[str, Any] = instance.tensors()
    if "mask_post" in tensors:
        return edit_success_icl(**tensors, variant=variant)
    return edit_success(**tensors, variant=variant)


def _class_inputs(tensors: Mapping[str, Any]) -> dict[str, Any]:
    names = {"logits_pre": "pre", "logits_post": "post", "labels_post": "labels", "mask_post": "mask"}
    return {names.get(name, name): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("case_name", ["edit_success", "edit_success_icl"])
def test_every_instance_in_both_variants(golden_dir: Path, subtests: pytest.Subtests, case_name: str) -> None:
    case = load_case(golden_dir, case_name)
    for instance in case.instances:
        for variant, expected in instance["expected"].items():
            with subtests.test(instance.name, variant=variant):
                got = {name: value.squeeze(0) for name, value in _parts(instance, variant)._asdict().items()}
                assert_matches(got, expected, case.tolerance)


@pytest.mark.parametrize("case_name", ["edit_success", "edit_success_icl"])
def test_the_class_gives_the_same_or_reports_an_empty_record(
    golden_dir: Path, subtests: pytest.Subtests, case_name: str
) -> None:
    case = load_case(golden_dir, case_name)
    for instance in case.instances:
        for variant, expected in instance["expected"].items():
            with subtests.test(instance.name, variant=variant):
                metric = EditSuccess(variant)
                metric.update(**_class_inputs(instance.tensors()))
                got = metric.compute()
                empty = math.isnan(number(expected["es"]))
                assert got["empty_records"] == int(empty)
                if not empty:
                    renamed = {"edit_success" if name == "es" else name: value for name, value in expected.items()}
                    assert_matches(got, renamed, case.tolerance)
