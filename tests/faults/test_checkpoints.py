"""Checkpoints that cannot be evaluated: a clean error that names file and option, and nothing written."""

import pytest
import torch

import evaluate
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec
from tests.editing import write_edit_data
from tests.faults.commands import ended
from tests.models import byte_tokenizer, random_model


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, tmp_path_factory):
    """A small checkpoint as `PersonaModule` fills it."""
    module = SFTModule(LMSpec(str(tiny_lm_dir)))
    module.configure_model()
    content = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    torch.save(content, path)
    return path


def evaluation(lm_dir, tmp_path, checkpoint):
    data = write_edit_data(tmp_path / "data", 2)
    return [
        *("--config", "configs/eval/personality_edit/mend.yaml", "--model.init_args.lm.name", lm_dir),
        *("--data.init_args.data_dir", data, "--trainer.default_root_dir", tmp_path / "run"),
        *("--trainer.accelerator", "cpu", "--ckpt_path", checkpoint),
    ]


def damaged(checkpoint, how, folder):
    content = checkpoint.read_bytes()
    path = folder / "damaged.ckpt"
    changed = {
        "missing": None,
        "empty": b"",
        "cut off": content[: len(content) // 2],
        "text": b"epoch: 3",
        "program": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    }[how]
    if changed is not None:
        path.write_bytes(changed)
    return path


@pytest.mark.parametrize("how", ["missing", "empty", "cut off", "text", "program"])
def test_a_file_that_is_no_checkpoint(how, checkpoint, tiny_lm_dir, tmp_path, capsys):
    path = damaged(checkpoint, how, tmp_path)
    ended(evaluate.main, evaluation(tiny_lm_dir, tmp_path, path), capsys).says(str(path), "--ckpt_path")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_model(checkpoint, tmp_path, capsys):
    other = tmp_path / "other"
    random_model("qwen2").save_pretrained(other)
    byte_tokenizer().save_pretrained(other)
    end = ended(evaluate.main, evaluation(other, tmp_path, checkpoint), capsys)
    end.says(str(checkpoint), "--ckpt_path", "another model", str(other))
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_with_other_tensors(checkpoint, tiny_lm_dir, tmp_path, capsys):
    content = torch.load(checkpoint, weights_only=True)
    name = sorted(content["state_dict"])[0]
    content["state_dict"]["surprise"] = content["state_dict"].pop(name)
    torch.save(content, tmp_path / "renamed.ckpt")
    end = ended(evaluate.main, evaluation(tiny_lm_dir, tmp_path, tmp_path / "renamed.ckpt"), capsys)
    end.says(name, "surprise", "--ckpt_path")
    assert not (tmp_path / "run").exists()
