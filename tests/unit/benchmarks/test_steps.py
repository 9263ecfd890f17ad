"""The plain loops that trainings are measured against compute the same losses from the same batches."""

import json

import pytest

from benchmarks import ppo_rounds, sae_steps


def test_a_plain_autoencoder_learns_the_same(tmp_path):
    found = sae_steps.compared(batches=2, tokens=512, features=64)
    assert found.first[1] == pytest.approx(float(found.first[0]["loss"]), abs=1e-4)
    assert len(found.seconds) == len(found.counted) == 2 and all(0 < count <= 1024 for count in found.counted)


def test_a_plain_round_of_ppo_judges_answers_alike():
    found = ppo_rounds.compared(rounds=2, prompts=4, new_tokens=6)
    assert found["max_log_prob_diff"] < 1e-4
    assert found["speedup_ci"][0] <= found["speedup"] <= found["speedup_ci"][1]


def test_figures_are_written_with_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(ppo_rounds, "compared", lambda clock: {"speedup": 2.0, "clock": clock})
    ppo_rounds.main(["--output", str(tmp_path / "ppo.json"), "--clock", "cpu"])
    figures = json.loads((tmp_path / "ppo.json").read_text())
    assert (figures["speedup"], figures["clock"]) == (2.0, "cpu")
    assert {"threads", "versions", "commit", "processor", "cores"} <= figures.keys()
