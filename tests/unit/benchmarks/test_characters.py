"""The table of the characters' trainings: collected from four evaluations, and PPO's reward measured anew."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import characters
from benchmarks.characters import METHODS, evaluated, rewarded, shown
from files.errors import InputError
from metrics.persona_dialogue import PersonaDialogueBenchmark
from tests.models import byte_tokenizer, random_model
from tests.recipes.stand_ins import FOLDER

SETTINGS = {"rollouts": {"max_new_tokens": 6}, "ppo": {"kl_target": 4.0}}


def write_results(folder, method, value, data_hash="same"):
    def row(metric, persona, value):
        return {
            "schema": 1, "benchmark": "persona_dialogue", "method": method, "model": "m", "persona": persona,
            "metric": metric, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "n": 20,
            "base_value": 0.2, "seed": 1, "versions": {}, "commit": "c", "data_hash": data_hash, "judge": None,
            "cost": None, "seconds": 3.0, "peak_memory_mb": 50.0,
        }  # fmt: skip

    rows = [row(metric, "all", value) for metric in PersonaDialogueBenchmark.headline]
    rows.append(row("fact_accuracy/early", "early", 0.99))
    path = folder / f"persona_dialogue-{method}" / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def test_figures_are_those_of_all_four_evaluations(tmp_path):
    for number, method in enumerate(METHODS):
        write_results(tmp_path, method, 0.2 + 0.1 * number)
    found = evaluated(tmp_path)
    assert [round(found[f"stage_preference_{method}"], 1) for method in METHODS] == [0.2, 0.3, 0.4, 0.5]
    assert found["fact_accuracy_sft_ci"] == pytest.approx([0.2, 0.4]) and found["fact_accuracy_n"] == 20
    assert 0.99 not in found.values()
    table = shown(found | {"reward_before": 0.5, "reward_after": 0.75, "kl": 1.0, "kl_target": 4.0})
    assert table.row_count == len(PersonaDialogueBenchmark.headline) + 2 and len(table.columns) == len(METHODS) + 1


def test_a_missing_evaluation_and_other_items_are_reported(tmp_path):
    write_results(tmp_path, "none", 0.2)
    with pytest.raises(InputError, match="persona_dialogue-sft") as raised:
        evaluated(tmp_path)
    assert "make characters" in str(raised.value)
    for method in METHODS:
        write_results(tmp_path, method, 0.2, data_hash=method)
    with pytest.raises(InputError, match="different items"):
        evaluated(tmp_path)


@pytest.mark.parametrize("moved", [False, True])
def test_reward_and_divergence_are_those_of_ppos_ends(moved, tiny_lm_dir, monkeypatch):
    models = {"start": random_model("llama"), "end": random_model("llama", seed=int(moved))}
    monkeypatch.setattr(characters, "MODEL", str(tiny_lm_dir))
    monkeypatch.setattr(characters, "load_trained", lambda name, spec: SimpleNamespace(model=models[name]))
    monkeypatch.setattr(characters, "load_tokenizer", lambda spec: byte_tokenizer())
    found = rewarded("start", "end", FOLDER / "test.jsonl", SETTINGS)
    assert found["reward_n"] == 4 and found["kl_target"] == 4.0
    assert found["reward_gain"] == found["reward_after"] - found["reward_before"] == 0
    assert (found["kl"] != 0) == moved
