"""Benchmarks of many personas, of long runs, of cold starts and of growth, each at a tiny size."""

import json
import subprocess

import pytest

from benchmarks import cold_start, long_runs, many_personas, scaling
from benchmarks.scaling_work import CURVES, Curve


def test_every_persona_of_a_batch_answers_as_alone():
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    figures = many_personas.measured(many_personas.Contest(personas=4, answer=3, **shape), rounds=1, alone=2)
    assert figures["same_answers"] == 1.0 and figures["personas"] == 4
    assert all(len(figures[f"{name}_ci"]) == 2 for name in ("one_overhead", "many_overhead", "separate_speedup"))


def test_memory_is_noted_by_step_and_put_on_a_line():
    held = long_runs.held("mend", steps=4, every=2)
    assert list(held) == [2, 4] and all(value > 100 for value in held.values())
    # A step that leaves 20 kilobytes behind shows.
    leaking = {step: 500 + 0.02 * step for step in range(50, 1001, 50)}
    assert long_runs.growth(leaking, 100)["growth_mb"] == pytest.approx(18.0)


def test_a_command_is_timed_and_one_that_fails_is_no_figure():
    figures = cold_start.measured({"nothing": ("-c", "pass")}, calls=2)
    assert 0 < figures["nothing"] < 30 and len(figures["nothing_ci"]) == 2
    with pytest.raises(subprocess.CalledProcessError):
        cold_start.measured({"broken": ("-c", "raise SystemExit(1)")}, calls=1)
    for arguments in cold_start.COMMANDS.values():
        assert arguments[0] == "-c" or (cold_start.REPOSITORY / arguments[0]).is_file()


def test_a_curve_is_a_slope_over_all_sizes_and_over_the_last_two(tmp_path, monkeypatch):
    curve = Curve("squares", (1, 2, 4), lambda size: lambda: None, rounds=2)
    found = scaling.figures_of_curve(curve, [[1.0, 4.0, 16.0], [1.0, 4.0, 8.0]])
    assert found["squares_last_slope_ci"] == pytest.approx([1.0, 2.0])
    assert found["squares_slope_ci"] == pytest.approx([1.5, 2.0]) and found["squares_seconds_4"] == 12.0
    monkeypatch.setattr(scaling, "CURVES", {"squares": curve})
    scaling.main(["--output", str(tmp_path / "scaling.json")])
    assert {"squares_slope", "threads"} <= json.loads((tmp_path / "scaling.json").read_text()).keys()


@pytest.mark.parametrize("name", ["items", "topics", "batch", "layers"])
def test_the_work_of_a_curve_can_be_done(name):
    CURVES[name].work(1)()
