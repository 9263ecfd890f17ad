"""Scoring of questionnaires against the recorded values of the release (golden case `papi_scoring`)."""

from pathlib import Path

import pytest
import torch

from metrics.likert import LikertAlignment, PapiScores, letter_scores, papi_scoring
from tests.parity.golden import Instance, assert_matches, load_case

BY_TRAIT = ("mean", "std", "mean_abs_error", "std_abs_error")


def _scores(instance: Instance, as_released: bool = True) -> PapiScores:
    columns = ([item[field] for item in instance["items"]] for field in ("answer", "trait", "key", "value"))
    return papi_scoring(*columns, as_released=as_released)


def test_every_item_of_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "papi_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            got, items = _scores(instance), instance["items"]
            assert_matches(got.letters, [item["letter"] for item in items], case.tolerance, "letter")
            assert_matches(got.keyed_scores, [item["keyed_score"] for item in items], case.tolerance, "keyed_score")
            assert_matches(got.abs_errors, [item["abs_error"] for item in items], case.tolerance, "abs_error")


def test_the_figures_of_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "papi_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            scores, items, expected = _scores(instance), instance["items"], instance["expected"]
            got = {name: getattr(scores, name) for name in ("counts", "sum_of_trait_mean_abs_error", *BY_TRAIT)}
            got["keyed_scores"] = {
                trait: [
                    score
                    for score, item in zip(scores.keyed_scores, items, strict=True)
                    if item["trait"] == trait and score is not None
                ]
                for trait in expected["keyed_scores"]
            }
            assert_matches(got, expected, case.tolerance)


def test_the_class_gives_the_same_or_reports_an_empty_person(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "papi_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            items, expected = instance["items"], instance["expected"]
            traits = list(expected["mean"])
            metric = LikertAlignment(traits, as_released=True)
            metric.update(
                letter_scores([item["letter"] for item in items]),
                torch.tensor([item["value"] for item in items]),
                torch.tensor([item["key"] for item in items]),
                torch.tensor([traits.index(item["trait"]) for item in items]),
            )
            got = metric.compute()
            assert got["parse_failures"] == expected["counts"]["UNK"]
            assert got["empty_records"] == int(expected["sum_of_trait_mean_abs_error"] == "nan")
            single = {"rtol": 1e-6, "atol": 1e-6}  # the class sums in float32
            assert_matches(got["alignment_error"], expected["sum_of_trait_mean_abs_error"], single)
            by_trait = {trait: got[f"alignment_error/{trait}"] for trait in traits}
            assert_matches(by_trait, expected["mean_abs_error"], single)


def test_right_reading_agrees_where_the_person_answered_and_the_rule_reads_the_same(
    golden_dir: Path, subtests: pytest.Subtests
) -> None:
    case = load_case(golden_dir, "papi_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            right = _scores(instance, as_released=False)
            for letter, error, item in zip(right.letters, right.abs_errors, instance["items"], strict=True):
                if item["value"] == 0:
                    assert error is None
                elif letter == item["letter"]:
                    assert error == item["abs_error"]
