"""Paths that the system refuses, settings files that are none, and folders: named as they were given, nothing left."""

import json
import subprocess
import sys

import pytest

import evaluate
import export
import train
from callbacks.run_folder import LAST
from files.locked_folder import locked_folder
from tests.conftest import REPOSITORY
from tests.editing import opinion_record, write_edit_data
from tests.faults.commands import ended, files_in
from tests.faults.test_edit_data import evaluation
from tests.faults.test_edit_training import fitting

LONG = "x" * 300
EVERY_STEP = ("--trainer.log_every_n_steps", "1")


def both(lm_dir, data, root, *more):
    """The same of a training and of an evaluation."""
    return [(train.main, fitting(lm_dir, data, root, *more)), (evaluate.main, evaluation(lm_dir, data, root, *more))]


@pytest.mark.parametrize("option", ["--trainer.default_root_dir", "--ckpt_path", "--data.init_args.data_dir"])
def test_a_name_that_is_too_long(option, tiny_lm_dir, tmp_path, capsys):
    data = write_edit_data(tmp_path / "data", 3)
    for main, arguments in both(tiny_lm_dir, data, tmp_path / "a" / "b", option, tmp_path / LONG):
        ended(main, arguments, capsys).says(LONG, "too long")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_an_export_to_and_of_a_name_that_is_too_long(tmp_path, capsys):
    ended(export.main, [tmp_path / LONG, "--out", tmp_path / "out"], capsys).says(LONG, "too long")
    ended(export.main, [tmp_path / "a.ckpt", "--out", tmp_path / LONG], capsys).says(LONG, "too long")
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_is_a_link_to_nothing(tiny_lm_dir, tmp_path, capsys):
    data, link = write_edit_data(tmp_path / "data", 3), tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere" / "at all")
    for main, arguments in both(tiny_lm_dir, data, link / "run"):
        ended(main, arguments, capsys).says(str(link), "--trainer.default_root_dir", "a link to nothing")
    assert not (tmp_path / "nowhere").exists()


SETTINGS = {
    "binary": (bytes(range(256)), ("line 2", "UTF-8")),
    "null bytes": (b"seed_everything: 1\x00\n", ("#x0000",)),
    "a tag": (b"a: !!python/object/apply:os.system [touch x]\n", ("line 1, column 4", "os.system")),
    "deep": (b"a: " + b"[" * 5000, ("line 1", "nested too deeply")),
    "growing": (
        b"a: &a [x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b", ".join([b"*%c" % n] * 8)) for n in range(97, 107)),
        ("million values",),
    ),
    "a huge number": (b"seed_everything: " + b"9" * 5000, ("digits",)),
    "torn": (b"seed_everything: [1, 2\nmodel: {", ("line 2",)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_file_that_is_none(name, tmp_path, monkeypatch, capsys):
    content, parts = SETTINGS[name]
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    for main, arguments in ((train.main, ["fit", "--config", file]), (evaluate.main, [f"--config={file}"])):
        ended(main, arguments, capsys).says(str(file), "'--config'", *parts)
    ended(export.main, [file, "--out", "out"], capsys).says(str(file), *parts)
    assert list(tmp_path.iterdir()) == [file]


def test_new_folders_do_not_stay_behind_faulty_data(tiny_lm_dir, tmp_path, capsys):
    data = write_edit_data(tmp_path / "data", 3)
    records = json.dumps([opinion_record(0), opinion_record(1, ent="\ud800")])
    for split in ("train", "test"):
        (data / f"{split}.json").write_text(records, encoding="ascii")
    for main, arguments in both(tiny_lm_dir, data, tmp_path / "a" / "b" / "c"):
        ended(main, arguments, capsys).says("row 1", "'ent'", r"\ud800", "surrogate")
    assert not (tmp_path / "a").exists()


def test_a_limit_that_leaves_one_topic_is_blamed_itself(tiny_lm_dir, tmp_path, capsys):
    data = write_edit_data(tmp_path / "data", 3)
    for main, arguments in both(tiny_lm_dir, data, tmp_path / "run", "--data.init_args.limit", "1"):
        ended(main, arguments, capsys).says("'--data.init_args.limit'", "at least 2", "got: 1")


def test_data_that_are_not_made_yet(tmp_path, monkeypatch, capsys):
    for method in ("sft", "dpo", "ppo"):
        arguments = ["fit", "--config", REPOSITORY / f"configs/{method}/quickstart.yaml"]
        monkeypatch.chdir(tmp_path)
        ended(train.main, arguments, capsys).says("runs/annotation/", "python annotate.py quickstart")
        assert not list(tmp_path.iterdir())


def test_a_folder_where_a_checkpoint_is_meant(tiny_lm_dir, tmp_path, capsys):
    data, run = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    assert ended(train.main, fitting(tiny_lm_dir, data, run, *EVERY_STEP), capsys).code == 0
    for given in (run, run / "checkpoints"):
        for main, arguments in both(tiny_lm_dir, data, tmp_path / "other", "--ckpt_path", given):
            ended(main, arguments, capsys).says("is a folder", f"--ckpt_path {run}/checkpoints/{LAST}")
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "other", "--ckpt_path", data), capsys)
    end.says("is a folder", f"checkpoints/{LAST}")
    missing = ("--ckpt_path", run / "checkpoints" / "no.ckpt")
    ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "other", *missing), capsys).says("no.ckpt", LAST)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps([opinion_record(0), opinion_record(1, agreeableness=["word " * 9000])]))
    edits = ("--edits", bad, "--out", tmp_path / "out")
    ended(export.main, [run / "checkpoints" / LAST, *edits], capsys).says(str(bad), "row 1", "'agreeableness[0]'")
    assert not (tmp_path / "out").exists() and not (tmp_path / "other").exists()


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_run_of_one_step_has_one_last_checkpoint(tiny_lm_dir, tmp_path, capsys):
    data, run = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    saving = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    saving["init_args"] = {"every_n_train_steps": 5, "save_last": True}
    arguments = fitting(tiny_lm_dir, data, run, "--trainer.callbacks", json.dumps([saving]), *EVERY_STEP)
    for _ in range(2):
        assert ended(train.main, arguments, capsys).code == 0
        assert {path.name for path in (run / "checkpoints").iterdir()} == {LAST}


HOLDER = """
import sys, time
from files.locked_folder import locked_folder
with locked_folder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_in_a_folder_is_refused_and_a_killed_one_blocks_nothing(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, root], cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        for main, arguments in both(tiny_lm_dir, data, root):
            ended(main, arguments, capsys).says(str(root), "'--trainer.default_root_dir'", "another run")
        assert files_in(root) == set()
    finally:
        holder.kill()
        holder.communicate()
    assert ended(train.main, fitting(tiny_lm_dir, data, root, *EVERY_STEP), capsys).code == 0
    with locked_folder(root):
        pass


def test_what_a_killed_run_was_writing_is_removed_but_not_what_another_one_writes(tmp_path):
    left = tmp_path / "checkpoints" / ".last.ckpt.0123456789ab.tmp"
    busy = tmp_path / "other" / ".run.json.0123456789ab.tmp"
    for file in (left, busy):
        file.parent.mkdir()
        file.write_text("half")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, busy.parent], cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        busy.write_text("half")
        with locked_folder(tmp_path):
            assert files_in(tmp_path) == {str(busy.relative_to(tmp_path))}
    finally:
        holder.kill()
        holder.communicate()
