"""TRAIT scores against the recorded values of the release (golden case `trait_scoring`)."""

from pathlib import Path

import pytest
import torch

from metrics.trait_score import OPTIONS, TraitScore, TraitScores, option_probabilities, trait_scoring
from tests.parity.golden import Instance, assert_matches, load_case


def _scores(instance: Instance, as_released: bool) -> TraitScores:
    records = instance["records"]
    return trait_scoring(
        [record["personality"] for record in records],
        [record["likelihood"] for record in records],
        [record["likelihood_rev"] for record in records],
        list(instance["expected"]["scores"]),
        log=_log(instance),
        as_released=as_released,
    )


def _log(instance: Instance) -> bool:
    return "gpt" in instance["model_name"]


def test_every_record_of_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "trait_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            levels = _scores(instance, as_released=True).levels
            for number, record in enumerate(instance["records"]):
                got = {
                    "norm": dict(zip(OPTIONS, levels.norm[number], strict=True)),
                    "norm_rev": dict(zip(OPTIONS, levels.norm_rev[number], strict=True)),
                    "max_option": levels.max_option[number].item(),
                    "level": "high" if levels.high[number] else "low",
                }
                assert_matches(got, record["expected"], case.tolerance, f"record {number}")


def test_scores_of_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "trait_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            scores, expected = _scores(instance, as_released=True), instance["expected"]
            got = {"counts": scores.counts, "scores": scores.scores, "score_list_as_released": scores.score_list}
            # the release stops when its list is shorter than the traits it names
            got["main_result"] = "ok" if len(scores.score_list) == len(scores.scores) else "IndexError"
            assert_matches(got, expected, case.tolerance)


def test_right_scores_agree_where_nothing_is_missing(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "trait_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            scores = _scores(instance, as_released=False)
            assert len(scores.score_list) == len(scores.scores)
            if not _log(instance):
                assert_matches(scores.scores, instance["expected"]["scores"], case.tolerance)


def test_the_class_gives_the_same(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "trait_scoring")
    for instance in case.instances:
        with subtests.test(instance.name):
            records, expected = instance["records"], instance["expected"]["scores"]
            traits = list(expected)
            metric = TraitScore(traits)
            plain, reversed_order = (
                option_probabilities([record[side] for record in records], log=_log(instance), as_released=True)
                for side in ("likelihood", "likelihood_rev")
            )
            of_record = [traits.index(record["personality"]) for record in records]
            metric.update(plain, reversed_order, torch.tensor(of_record))
            for trait, score in expected.items():
                got = metric.compute()[f"trait_score/{trait}"]
                assert_matches(got, "nan" if score is None else score, {"rtol": 1e-6, "atol": 1e-6}, trait)
