"""What a machine does to a run: full and read-only disks, too little memory, numbers that run away, damaged files."""

import errno
import json
import logging
import os
import shutil
import subprocess
from contextlib import suppress

import pytest
import torch

import evaluate
import train
from callbacks.run_folder import LAST
from lightning_modules import within_memory
from tests.cli.test_train import fit
from tests.editing import write_edit_data
from tests.faults.commands import ended, files_in
from tests.faults.test_edit_data import evaluation
from tests.faults.test_edit_training import fitting

MOVING = ("seconds", "peak_memory_mb", "commit")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def results(root):
    """The figures of a run, without what no two runs share."""
    rows = json.loads((root / "results.json").read_text())
    return [{name: value for name, value in row.items() if name not in MOVING} for row in rows]


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A folder on a disk of its own of so many kilobytes; where none may be mounted, one whose writing fails."""
    folder = tmp_path / "disk"
    folder.mkdir()
    program = shutil.which("mount")
    command = [program, "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    mounted = program is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:

        def full(_handle):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    yield folder, mounted
    if mounted:
        subprocess.run([shutil.which("umount"), "-l", str(folder)], check=True)


def test_a_full_disk_ends_a_training_and_leaves_nothing_half_written(disk, tiny_lm_dir, tmp_path, capsys):
    data, (folder, _) = write_edit_data(tmp_path / "data", 3), disk
    end = ended(train.main, fitting(tiny_lm_dir, data, folder / "run"), capsys)
    end.says("No space left", "free some space")
    assert not [name for name in files_in(folder) if name.endswith((".tmp", ".ckpt"))]


def test_a_full_disk_ends_an_evaluation_that_goes_on_afterwards(disk, tiny_lm_dir, tmp_path, capsys, monkeypatch):
    data, (folder, mounted) = write_edit_data(tmp_path / "data", 4), disk
    root, options = folder / "run", ("--data.init_args.batch_size", "1", "--trainer.logger", "false")
    with suppress(OSError):
        (folder / "filler").write_bytes(b"x" * 200_000)
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *options), capsys)
    end.says("No space left")
    assert "results.json" not in files_in(root)
    monkeypatch.undo()
    if mounted:
        subprocess.run([shutil.which("mount"), "-o", "remount,size=8m", str(folder)], check=True)
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *options), capsys).code == 0
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "whole", *options), capsys).code == 0
    assert results(root) == results(tmp_path / "whole")


def test_a_disk_that_may_not_be_written_is_reported(disk, tiny_lm_dir, tmp_path, capsys):
    folder, mounted = disk
    if not mounted:
        pytest.skip("no disk may be mounted here")
    data = write_edit_data(tmp_path / "data", 3)
    subprocess.run([shutil.which("mount"), "-o", "remount,ro", str(folder)], check=True)
    for main, arguments in (
        (train.main, fitting(tiny_lm_dir, data, folder / "run")),
        (evaluate.main, evaluation(tiny_lm_dir, data, folder / "run")),
    ):
        ended(main, arguments, capsys).says(str(folder), "'--trainer.default_root_dir'", "Read-only")


@pytest.mark.parametrize("temperature", ["0", "0.8"])
def test_an_evaluation_without_memory_goes_on_with_fewer_rows(
    temperature, tiny_lm_dir, tmp_path, capsys, caplog, monkeypatch
):
    data, whole, root = write_edit_data(tmp_path / "data", 4), tmp_path / "whole", tmp_path / "run"
    options = ("--model.init_args.rows", "8", "--model.init_args.temperature", temperature)
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, whole, *options), capsys).code == 0
    answer, tried = within_memory.answer_several, []

    def too_much(base, personas, tokenizer, settings):
        tried.append(settings.rows)
        if settings.rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return answer(base, personas, tokenizer, settings)

    monkeypatch.setattr(within_memory, "answer_several", too_much)
    with caplog.at_level(logging.WARNING):
        assert ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *options), capsys).code == 0
    assert tried[:3] == [8, 4, 2] and set(tried[3:]) <= {2} and "2 rows at once" in caplog.text
    found, expected = results(root), results(whole)
    for name in ("method", "persona", "metric", "n"):
        assert [row[name] for row in found] == [row[name] for row in expected]
    # A perplexity is a sum of numbers whose last bit depends on what else is in a batch.
    values, wanted = ([row["value"] or 0.0 for row in rows] for rows in (found, expected))
    assert values == pytest.approx(wanted, rel=1e-5)


def test_an_evaluation_without_memory_for_one_row_is_reported(tiny_lm_dir, tmp_path, capsys, monkeypatch):
    def too_much(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(within_memory, "answer_several", too_much)
    data = write_edit_data(tmp_path / "data", 3)
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "run"), capsys)
    end.says("--model.init_args.rows", "a single question", "DefaultCPUAllocator")


def test_numbers_that_run_away_stop_the_run_before_they_are_kept(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    saving = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    saving["init_args"] = {"every_n_train_steps": 1, "save_last": True}
    more = (
        *("--trainer.callbacks", json.dumps([saving]), "--trainer.max_steps", "4", "--trainer.log_every_n_steps", "1"),
        *("--data.init_args.batch_size", "1", "--trainer.callbacks+=tests.faults.poison.Poison"),
    )
    end = ended(train.main, fitting(tiny_lm_dir, data, root, *more), capsys)
    end.says("no finite number", "step 2", "record ", "(Topic ", f"{root}/checkpoints/{LAST}", "got: nan")
    kept = torch.load(root / "checkpoints" / LAST, weights_only=True)
    assert kept["global_step"] == 2
    assert all(value.isfinite().all() for value in kept["state_dict"].values() if value.is_floating_point())
    assert json.loads((root / "run.json").read_text()) == {"finished": False}


@pytest.mark.parametrize("how", ["cut off", "flipped"])
def test_a_run_whose_last_checkpoint_is_damaged_is_offered_an_older_one(how, tiny_lm_dir, tmp_path, capsys):
    stop = "--trainer.callbacks+=tests.cli.stopping.StopAfter"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path, stop), capsys).code == 130
    folder = tmp_path / "run" / "checkpoints"
    content = bytearray((folder / LAST).read_bytes())
    (folder / "epoch=0-step=2.ckpt").write_bytes(content)
    content[len(content) // 2] ^= 1
    (folder / LAST).write_bytes(content if how == "flipped" else content[: len(content) // 2])
    end = ended(train.main, fit(tiny_lm_dir, tmp_path), capsys)
    end.says(str(folder / LAST), f"--ckpt_path {folder}/epoch=0-step=2.ckpt")
    older = fit(tiny_lm_dir, tmp_path, "--ckpt_path", folder / "epoch=0-step=2.ckpt")
    assert ended(train.main, older, capsys).code == 0
