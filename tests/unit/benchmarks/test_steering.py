"""The figures of steering: which traits move both ways, and whether strength curves rise."""

import json

import pytest

from benchmarks.readme_steering import npti_block, steering_block
from benchmarks.steering import main, steering_figures
from personas.traits import BIG_FIVE
from tests.unit.report.results import figure, rows_of, write_run


def trait_rows(method, high, low, benchmark="personality_bench", metric="trait_expression", width=0.05):
    return [
        figure(method, value, width, f"{metric}/{trait}{end}", persona=f"{trait}{end}", benchmark=benchmark)
        for trait in BIG_FIVE
        for end, value in (("+", high.get(trait, 0.9)), ("-", low.get(trait, -0.9)))
    ]


def curve(method, values, steps):
    named = {"benchmark": "personality_bench"}
    rows = [figure(method, 0.5, 0.05, f"{name}/strength=1", **named) for name in ("acc", "tpei")]
    rows += [figure(method, value, 0.05, f"trait_expression/strength={at}", **named) for at, value in values.items()]
    return rows + [
        figure(method, value, width, f"trait_expression_step/strength={at}", **named)
        for at, (value, width) in steps.items()
    ]


def test_a_trait_is_moved_where_both_ends_lie_beyond_base_and_control(tmp_path):
    still = {trait: 0.0 for trait in BIG_FIVE}
    rows = trait_rows("npti", {"openness": 0.35}, {"extraversion": 0.08, "neuroticism": -0.35})
    rows += trait_rows("none", still, still) + trait_rows("random_neurons", {**still, "openness": 0.3}, still)
    rows += [figure("npti", 0.95, metric="coherent_rate", benchmark="personality_bench")]
    found = steering_figures(rows_of(write_run(tmp_path, rows)))
    assert found["npti_trait_expression_moved"] == 3
    assert found["npti_trait_expression_still"] == ["openness+", "extraversion-"]
    assert found["npti_coherent_rate"] == 0.95 and found["npti_coherent_rate_ci"] == pytest.approx([0.9, 1.0])
    assert not any(name.startswith(("sae", "repe")) or "trait_score" in name for name in found)


def test_a_curve_may_fall_by_chance_and_after_its_best(tmp_path):
    values = {"0": 0.0, "1": 0.5, "2": 0.45, "4": 0.8, "8": 0.1}
    steps = {"1": (0.5, 0.1), "2": (-0.05, 0.1), "4": (0.35, 0.1), "8": (-0.7, 0.1)}
    found = steering_figures(rows_of(write_run(tmp_path / "a", curve("repe", values, steps))))
    assert found["repe_best_strength"] == 4 and found["repe_best_expression"] == 0.8
    assert (found["repe_drop"], found["repe_drops"]) == (-0.05, 0)
    assert found["repe_drop_ci"] == pytest.approx([-0.15, 0.05])
    sure = steering_figures(rows_of(write_run(tmp_path / "b", curve("repe", values, {**steps, "2": (-0.05, 0.01)}))))
    assert sure["repe_drops"] == 1
    rising = {**steps, "2": (0.05, 0.01)}
    assert steering_figures(rows_of(write_run(tmp_path / "c", curve("repe", values, rising))))["repe_drop"] == 0


def test_the_file_is_written_from_folders(tmp_path):
    write_run(tmp_path / "runs", curve("sae", {"0": 0.0, "8": 0.5}, {"8": (0.5, 0.1)}))
    main([str(tmp_path / "runs"), "--output", str(tmp_path / "steering.json")])
    found = json.loads((tmp_path / "steering.json").read_text())
    assert found["sae_best_strength"] == 8 and found["sae_drops"] == 0 and found["commit"]


def test_the_readme_shows_what_moves_and_dashes_for_what_is_missing(tmp_path):
    assert steering_block(tmp_path, "") == "No results are committed yet."
    (tmp_path / "benchmarks").mkdir()
    figures = {"npti_trait_score_moved": 5, "npti_best_strength": 1.5, "npti_best_expression": 0.9, "commit": "0" * 40}
    (tmp_path / "benchmarks/steering.json").write_text(json.dumps(figures))
    text = steering_block(tmp_path, "")
    assert "| NPTI | 5 of 5 | - | - | 0.900 at 1.500 | - |" in text and "Commit 00000000." in text
    assert "| `select_speedup` | - |" in npti_block(tmp_path, "")
