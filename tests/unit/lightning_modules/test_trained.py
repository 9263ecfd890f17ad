"""Trained modules rebuilt from their checkpoints, and files that are none."""

import json

import pytest
import torch
from lightning.pytorch import Trainer

from files.errors import InputError
from lightning_modules.base import HEADER
from lightning_modules.sft import SFTModule
from lightning_modules.trained import load_trained, read_checkpoint
from lm.loading import LMSpec
from tests.editing import evaluate_edits, write_edit_data
from tests.models import byte_tokenizer, random_model


def saved(module, path, **header):
    """Write the checkpoint of a module as the Trainer does, with parts of its header changed."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint[HEADER].update(header)
    torch.save(checkpoint, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, tmp_path_factory):
    module = SFTModule(LMSpec(str(tiny_lm_dir)), learning_rate=0.5)
    module.configure_model()
    with torch.no_grad():
        for parameter in module.lm.parameters():
            parameter.add_(0.05)
    return saved(module, tmp_path_factory.mktemp("checkpoint") / "sft.ckpt")


def test_a_module_comes_back_with_its_settings_and_weights(checkpoint, tiny_lm_dir):
    trained = load_trained(checkpoint, LMSpec(str(tiny_lm_dir)))
    assert trained.name == "sft" and trained.module.learning_rate == 0.5
    assert not trained.module.training and not any(p.requires_grad for p in trained.module.parameters())
    base, now = (dict(model.named_parameters()) for model in (trained.base, trained.model))
    assert all(torch.allclose(now[name], weight + 0.05, atol=1e-6) for name, weight in base.items())


def test_a_trained_model_is_evaluated_against_its_base(checkpoint, tiny_lm_dir, tmp_path):
    data = write_edit_data(tmp_path / "data", 3)
    evaluate_edits(tiny_lm_dir, data, tmp_path / "none")
    evaluate_edits(tiny_lm_dir, data, tmp_path / "sft", ckpt_path=str(checkpoint))
    rows = {name: json.loads((tmp_path / name / "results.json").read_text()) for name in ("none", "sft")}
    plain, trained = ({row["metric"]: row for row in rows[name]} for name in ("none", "sft"))
    assert trained["drawdown"]["method"] == "sft" and trained["drawdown"]["value"] > 0
    for metric in ("edit_success", "mean_logp_target", "drawdown"):
        assert trained[metric]["base_value"] == plain[metric]["value"]


def test_a_checkpoint_of_another_model_is_refused(checkpoint, tmp_path):
    random_model("llama", seed=1).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model") as caught:
        load_trained(checkpoint, LMSpec(str(tmp_path)))
    assert str(checkpoint) in str(caught.value) and "--ckpt_path" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"class_path": "os.path.join"}, "not one of lightning_modules"),
        ({"class_path": "lightning_modules.sft.Nothing"}, "does not exist"),
        ({"class_path": "lightning_modules.nothing.Module"}, "does not exist"),
        ({"class_path": "lightning_modules.base.HEADER"}, "no trained module"),
        ({"settings": {"nonsense": 1}}, "nonsense"),
        ({"settings": 3}, "does not say how to rebuild"),
        ({"class_path": 3}, "does not say how to rebuild"),
    ],
)
def test_a_file_does_not_choose_what_runs(tiny_lm_dir, tmp_path, header, message):
    module = SFTModule(LMSpec(str(tiny_lm_dir)))
    module.configure_model()
    path = saved(module, tmp_path / "a.ckpt", **header)
    with pytest.raises(InputError, match=message):
        load_trained(path, LMSpec(str(tiny_lm_dir)))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off", b"\x80\x02cos\nsystem\n."])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_other_files_and_missing_ones_are_refused(tmp_path, checkpoint):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not written by train.py"):
        read_checkpoint(tmp_path / "other.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(InputError, match="not written by train.py"):
        read_checkpoint(tmp_path / "list.ckpt")
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read_checkpoint(cut)
