"""`evaluate.py` as a user calls it: help, folders, killed runs, shipped settings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evaluate
from tests.editing import write_edit_data
from tests.faults.commands import ended

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path
    for path in (*REPOSITORY.glob("configs/eval/*/*.yaml"), *REPOSITORY.glob("configs/*/*.yaml"))
    if "EvalModule" in path.read_text(encoding="utf-8")
)


def options(lm_dir, data, *more):
    config = REPOSITORY / "configs/eval/personality_edit/none.yaml"
    return [
        *("--config", config, "--model.init_args.lm.name", lm_dir, "--data.init_args.data_dir", data),
        *("--trainer.accelerator", "cpu", "--model.init_args.max_new_tokens", "4", *more),
    ]


def test_help_is_there_at_once_and_shows_the_commands(capsys):
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "evaluate.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 and time.perf_counter() - started < 3
    for option in ("--config", "--ckpt_path", "--trainer.default_root_dir", "results.json", "--options"):
        assert option in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_evaluation_is_accepted(config, capsys):
    assert ended(evaluate.main, ["--config", config, "--print_config"], capsys).code == 0


def test_results_go_to_a_folder_named_after_benchmark_and_method(tiny_lm_dir, tmp_path, monkeypatch, capsys):
    data = write_edit_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert ended(evaluate.main, options(tiny_lm_dir, data, "--seed_everything", "7"), capsys).code == 0
    root = tmp_path / "runs" / "personality_edit-none"
    rows = json.loads((root / "results.json").read_text())
    assert {row["seed"] for row in rows} == {7} and rows[0]["model"] == str(tiny_lm_dir)
    assert {"evaluation.yaml", "records.jsonl", "report.md", "samples.md"} <= {path.name for path in root.iterdir()}
    assert list((root / "tensorboard" / "evaluation").glob("events.*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "runs"]
    again = ended(evaluate.main, ["--config", root / "evaluation.yaml"], capsys)
    assert again.code == 0
    replaced = json.loads((root / "results.json").read_text())
    assert [row["value"] for row in replaced] == [row["value"] for row in rows]


def test_a_killed_evaluation_ends_as_an_undisturbed_one(tiny_lm_dir, tmp_path, capsys):
    data = write_edit_data(tmp_path / "data", 6)
    small = ("--data.init_args.batch_size", "1", "--trainer.enable_progress_bar", "false")
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    arguments = options(tiny_lm_dir, data, *small, "--trainer.default_root_dir", straight)
    assert ended(evaluate.main, arguments, capsys).code == 0
    arguments = [str(a) for a in options(tiny_lm_dir, data, *small, "--trainer.default_root_dir", cut)]
    process = subprocess.Popen(
        [sys.executable, "evaluate.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = cut / "unfinished" / "part-0.jsonl"
    while process.poll() is None and not journal.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL and not (cut / "results.json").exists()
    kept = sum('"record"' in line for line in journal.read_text().splitlines())
    assert kept >= 1
    assert ended(evaluate.main, arguments, capsys).code == 0
    first, second = (json.loads((root / "results.json").read_text()) for root in (straight, cut))
    assert [(row["metric"], row["value"], row["ci_low"], row["base_value"]) for row in first] == [
        (row["metric"], row["value"], row["ci_low"], row["base_value"]) for row in second
    ]
    assert (straight / "records.jsonl").read_bytes() == (cut / "records.jsonl").read_bytes()


def test_published_data_are_evaluated(tiny_lm_dir, data_dir, tmp_path, capsys):
    more = ("--data.init_args.limit", "4", "--trainer.default_root_dir", tmp_path)
    arguments = options(tiny_lm_dir, data_dir / "personality_edit", *more)
    assert ended(evaluate.main, arguments, capsys).code == 0
    rows = {row["metric"]: row for row in json.loads((tmp_path / "results.json").read_text())}
    assert rows["edit_success"]["n"] == 4 and rows["drawdown"]["value"] == 0.0
