"""Training an editor with faulty data or options: a clean error, and no run begun."""

import json

import pytest

import train
from tests.editing import opinion_record, write_edit_data
from tests.faults.commands import ended


def fitting(lm_dir, data, root, *more):
    return [
        *("fit", "--model", "lightning_modules.mend.MENDModule", "--model.init_args.lm.name", lm_dir),
        *("--data", "datamodules.personality_edit.EditDataModule", "--data.init_args.data_dir", data),
        *("--trainer.default_root_dir", root, "--trainer.accelerator", "cpu", "--trainer.max_steps", "1"),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false", *more),
    ]


def without_trait(records):
    del records[1]["agreeableness"]


def without_opinions(records):
    records[1]["agreeableness"] = []


def with_a_number(records):
    records[1]["agreeableness"] = ["Fine.", 3]


def about_one_thing(records):
    for record in records:
        record["ent"] = "Tea"


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (without_trait, ("row 1", "'agreeableness'", "is missing")),
        (without_opinions, ("row 1", "'agreeableness'", "is empty")),
        (with_a_number, ("row 1", "'agreeableness[1]'", "has the wrong type")),
        (about_one_thing, ("'ent'", "no other topic")),
    ],
)
def test_faulty_records_are_reported(change, parts, split, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    records = [opinion_record(number) for number in range(3)]
    change(records)
    (data / f"{split}.json").write_text(json.dumps(records), encoding="utf-8")
    end = ended(train.main, fitting(tiny_lm_dir, data, root), capsys)
    end.says(str(data / f"{split}.json"), "expected:", "got:", *parts)
    assert not root.exists()


@pytest.mark.parametrize("content", [b'[{"ent": "Tea", "extra', b'[{"ent": "\xff\xfe"}]'])
def test_files_that_are_cut_off_or_no_text_are_reported(content, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    (data / "train.json").write_bytes(content)
    ended(train.main, fitting(tiny_lm_dir, data, root), capsys).says(str(data / "train.json"), "line 1")
    assert not root.exists()


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--model.init_args.weights", "[gat]"), ("weights", "gat", "gate")),
        (("--model.init_args.weights", "[model.layers.1.mlp.gat_proj]"), ("weights", "gat_proj", "gate_proj")),
        (("--model.init_args.layers", "[7]"), ("layers", "7")),
        (("--data.init_args.batch_size", "0"), ("--data.init_args.batch_size", "got: 0")),
    ],
)
def test_faulty_options_are_reported(more, parts, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    ended(train.main, fitting(tiny_lm_dir, data, root, *more), capsys).says(*parts)
    assert not root.exists()


def test_an_unwritable_output_folder_is_reported(tiny_lm_dir, tmp_path, capsys):
    data, blocked = write_edit_data(tmp_path / "data", 3), tmp_path / "blocked"
    blocked.write_text("keep me")
    ended(train.main, fitting(tiny_lm_dir, data, blocked / "run"), capsys).says(str(blocked), "cannot be written")
    assert blocked.read_text() == "keep me"
