"""Training an editor with faulty data or options: a clean error, and no run begun."""

import json

import lightning
import pytest
import torch

import train
from editors.hypernetwork import TransformOptions
from lightning_modules.mend import MENDModule
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec
from tests.editing import opinion_record, write_edit_data
from tests.faults.commands import ended
from tests.models import byte_tokenizer, random_model


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


def longer_than_the_model_reads(records):
    records[1]["agreeableness"] = ["Fine.", "word " * 20_000]


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
        (longer_than_the_model_reads, ("row 1", "'agreeableness[1]'", "longer than the model can read", "max_tokens")),
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


def test_a_fault_found_in_a_second_run_leaves_the_first_as_it_was(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    assert ended(train.main, fitting(tiny_lm_dir, data, root, "--trainer.log_every_n_steps", "1"), capsys).code == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    records = [opinion_record(number) for number in range(3)]
    longer_than_the_model_reads(records)
    (data / "train.json").write_text(json.dumps(records), encoding="utf-8")
    ended(train.main, fitting(tiny_lm_dir, data, root), capsys).says("row 1", "longer than the model can read")
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b'[{"ent": "Tea", "extra', "line 1"),
        (b'[{"ent": "\xff\xfe"}]', "line 1"),
        (b"[]", "holds no records"),
        (b"{}", "holds no records"),
        (b"", "end of file"),
    ],
)
def test_files_that_are_cut_off_no_text_or_empty_are_reported(content, part, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    (data / "train.json").write_bytes(content)
    ended(train.main, fitting(tiny_lm_dir, data, root), capsys).says(str(data / "train.json"), part)
    assert not root.exists()


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--model.init_args.weights", "[gat]"), ("weights", "gat", "gate")),
        (("--model.init_args.weights", "[model.layers.1.mlp.gat_proj]"), ("weights", "gat_proj", "gate_proj")),
        (("--model.init_args.layers", "[7]"), ("layers", "7")),
        (("--model.init_args.last_layers", "0"), ("model.init_args.last_layers", "at least 1", "got: 0")),
        (("--model.init_args.transform.rank", "0"), ("model.init_args.transform.rank", "at least 1", "got: 0")),
        (("--model.init_args.transform.n_hidden", "-1"), ("transform.n_hidden", "at least 0", "got: -1")),
        (("--model.init_args.transform.clip", "0"), ("transform.clip", "above 0", "got: 0")),
        (("--model.init_args.transform.x_only", "true"), ("transform.x_only", "combine", "set combine to false")),
        (("--model.init_args.loss.chunk_tokens", "0"), ("model.init_args.loss.chunk_tokens", "got: 0")),
        (("--model.init_args.learning_rate", "-1"), ("model.init_args.learning_rate", "got: -1")),
        (("--data.init_args.batch_size", "0"), ("--data.init_args.batch_size", "got: 0")),
        (("--data.init_args.max_tokens", "3"), ("--data.init_args.max_tokens", "train.json", "got: 3")),
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


def checkpoint_of(module, path):
    """A checkpoint as the Trainer writes it, as far as it is compared when it is read."""
    module.configure_model()
    content = {"state_dict": module.state_dict(), "pytorch-lightning_version": lightning.__version__}
    module.on_save_checkpoint(content)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("made", "parts"),
    [
        (lambda folder, _: MENDModule(LMSpec(str(folder)), transform=TransformOptions(rank=4)), ("another shape",)),
        (lambda folder, _: MENDModule(LMSpec(str(folder)), transform=TransformOptions(shared=False)), ("missing",)),
        (lambda folder, _: SFTModule(LMSpec(str(folder))), ("another method", "mend", "sft")),
        (lambda _, other: MENDModule(LMSpec(str(other))), ("another model", "lm.name")),
    ],
)
def test_a_checkpoint_of_something_else_is_named(made, parts, tiny_lm_dir, tmp_path, capsys):
    other = tmp_path / "other"
    random_model("qwen2").save_pretrained(other)
    byte_tokenizer().save_pretrained(other)
    path = checkpoint_of(made(tiny_lm_dir, other), tmp_path / "other.ckpt")
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    end = ended(train.main, fitting(tiny_lm_dir, data, root, "--ckpt_path", path), capsys)
    end.says(str(path), "'--ckpt_path'", *parts)
    assert not root.exists()
