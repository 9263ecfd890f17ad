"""`train.py` as a user calls it: help, faulty options, runs that go on, finish, or are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train
from tests.faults.commands import ended, files_in
from tests.unit.lightning_modules.chats import chats_file

REPOSITORY = Path(__file__).resolve().parents[2]
# Methods without a training run have settings of evaluations only; those are tried in `test_evaluate.py`.
CONFIGS = sorted(
    path
    for path in REPOSITORY.glob("configs/*/*.yaml")
    if path.parent.name != "cluster" and "EvalModule" not in path.read_text(encoding="utf-8")
)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def fit(lm_dir, folder, *more):
    return [
        *("fit", "--config", REPOSITORY / "configs/organism/quickstart.yaml"),
        *("--model.lm.name", lm_dir, "--model.lm.random_init", "false", "--data.num_workers", "0"),
        *("--data.file", chats_file(folder), "--data.widths", "[64]", "--data.tokens_per_batch", "128"),
        *("--data.window", "8", "--data.batches", "6", "--data.val_chats", "4"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.enable_model_summary", "false", "--trainer.log_every_n_steps", "1"),
        *("--trainer.default_root_dir", folder / "run", *more),
    ]


def weights_in(root):
    return torch.load(root / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def steps_in(root):
    return torch.load(root / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]


def test_help_is_there_at_once_and_explains_the_options():
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "train.py", "--help"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 and time.perf_counter() - started < 3
    for option in ("fit", "validate", "--config", "--resume", "--ckpt_path", "--trainer.default_root_dir"):
        assert option in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_recipe_is_accepted(config, capsys):
    assert ended(train.main, ["fit", "--config", config, "--print_config"], capsys).code == 0


def test_a_run_writes_its_folder_and_a_finished_one_is_replaced(tiny_lm_dir, tmp_path, capsys):
    root = tmp_path / "run"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    assert {"config.yaml", "run.json", "checkpoints/last.ckpt", "model/model.safetensors"} <= files_in(root)
    assert json.loads((root / "run.json").read_text()) == {"finished": True, "steps": 6}
    assert len(list((root / "tensorboard").glob("events.*"))) == 1
    first = weights_in(root)
    again = ended(train.main, fit(tiny_lm_dir, tmp_path, "--model.learning_rate", "0.1"), capsys)
    assert again.code == 0
    assert len(list((root / "tensorboard").glob("events.*"))) == 1
    assert any(not torch.equal(value, first[name]) for name, value in weights_in(root).items())


def test_an_unfinished_run_goes_on_unless_told_otherwise_or_set_otherwise(tiny_lm_dir, tmp_path, capsys):
    root = tmp_path / "run"
    straight = tmp_path / "straight"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    root.rename(straight)
    stop = "--trainer.callbacks+=tests.cli.stopping.StopAfter"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path, stop), capsys).code == 130
    assert json.loads((root / "run.json").read_text()) == {"finished": False}
    assert steps_in(root) == 3
    other = ended(train.main, fit(tiny_lm_dir, tmp_path, "--model.learning_rate", "0.1"), capsys)
    other.says("unfinished run with other settings", "model.init_args.learning_rate", "--resume never")
    settings = (root / "config.yaml").read_bytes()
    for garbled in (b"model: [a\nb: }", b"\xff\xfe\x00"):
        (root / "config.yaml").write_bytes(garbled)
        unread = ended(train.main, fit(tiny_lm_dir, tmp_path), capsys)
        unread.says(str(root / "config.yaml"), "cannot be read", "--resume never")
    (root / "config.yaml").write_bytes(settings)
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    assert json.loads((root / "run.json").read_text()) == {"finished": True, "steps": 6}
    for name, value in weights_in(straight).items():
        assert torch.equal(value, weights_in(root)[name])
    assert steps_in(root) == 6
    # Killed after the last checkpoint and before the note: nothing is left to do.
    (root / "run.json").write_text('{"finished": false}')
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    for name, value in weights_in(straight).items():
        assert torch.equal(value, weights_in(root)[name])


def test_a_folder_is_no_checkpoint(tiny_lm_dir, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    end = ended(train.main, fit(tiny_lm_dir, tmp_path, "--ckpt_path", tmp_path / "checkpoints"), capsys)
    end.says("is a folder", "--ckpt_path", "last.ckpt")
    assert not (tmp_path / "run").exists()


def test_resume_never_starts_over(tiny_lm_dir, tmp_path, capsys):
    stop = "--trainer.callbacks+=tests.cli.stopping.StopAfter"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path, stop), capsys).code == 130
    fresh = fit(tiny_lm_dir, tmp_path, "--resume", "never", "--model.learning_rate", "0.1")
    assert ended(train.main, fresh, capsys).code == 0
    assert steps_in(tmp_path / "run") == 6


def test_validate_measures_a_checkpoint(tiny_lm_dir, tmp_path, capsys):
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    _, *options = fit(tiny_lm_dir, tmp_path, "--ckpt_path", checkpoint)
    capsys.readouterr()
    train.main(["validate", *map(str, options)])
    assert "val/answer_loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--model.nonsense", "3"), "nonsense"),
        (("--data.batches", "many"), "batches"),
        (("--data.batches", "0"), "data.init_args.batches"),
        (("--ckpt_path", "nowhere.ckpt"), "nowhere.ckpt"),
        (("--data.file", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--model.lm.name", "./nowhere"), "nowhere"),
    ],
)
def test_faulty_options_end_at_once_and_leave_nothing(tiny_lm_dir, tmp_path, capsys, more, said):
    done = ended(train.main, fit(tiny_lm_dir, tmp_path, *more), capsys)
    assert done.code == 2 and said in done.message and "Traceback" not in done.message
    assert files_in(tmp_path) == {"chats.jsonl"}


def test_a_damaged_checkpoint_is_named(tiny_lm_dir, tmp_path, capsys):
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"half a check")
    ended(train.main, fit(tiny_lm_dir, tmp_path, "--ckpt_path", damaged), capsys).says(str(damaged))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_and_started_again_ends_with_the_same_weights_bit_for_bit(tiny_lm_dir, tmp_path):
    command = [sys.executable, "train.py", *map(str, fit(tiny_lm_dir, tmp_path, "--data.batches", "300"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = tmp_path / "run"
    for kills in range(3):
        running = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 400
        before = checkpoint_time(root)
        while kills < 2 and running.poll() is None and time.monotonic() < deadline:
            if checkpoint_time(root) != before:
                time.sleep(0.03 * (kills + 1))
                running.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        try:
            message = running.communicate(timeout=400)[1]
        finally:
            running.kill()
        assert running.returncode == (0 if kills == 2 else -signal.SIGKILL), message
    killed = weights_in(root)
    assert json.loads((root / "run.json").read_text())["finished"]
    straight = [*command[2:], "--trainer.default_root_dir", str(tmp_path / "straight")]
    train.main(straight)
    for name, value in weights_in(tmp_path / "straight").items():
        assert torch.equal(value, killed[name])


def checkpoint_time(root):
    """When the last checkpoint was written, None where there is none."""
    last = root / "checkpoints" / "last.ckpt"
    return last.stat().st_mtime_ns if last.exists() else None
