"""A run's folder: whole checkpoints, a note on whether it has finished, an export that any program loads."""

import json
import random

import pytest
import torch
from lightning.pytorch import Trainer
from transformers import AutoModelForCausalLM, AutoTokenizer

from callbacks.resume import ExactResume
from callbacks.run_folder import RunFolder, WholeCheckpointIO, checkpoint_to_go_on_from
from callbacks.save_pretrained import SavePretrained
from files.errors import InputError
from tests.unit.lightning_modules.chats import run


def test_random_states_come_back_when_training_starts_and_not_before():
    torch.manual_seed(3)
    random.seed(3)
    state = ExactResume().state_dict()
    expected = (torch.rand(2), random.random())
    keeper = ExactResume()
    keeper.load_state_dict(state)
    torch.manual_seed(8)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    keeper.on_train_start(trainer, None)
    assert torch.equal(torch.rand(2), expected[0])
    assert random.random() == expected[1]
    keeper.on_train_start(trainer, None)
    assert not torch.equal(torch.rand(2), expected[0])


def test_a_checkpoint_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"step": 1}, path)

    class Unwritable:
        def __reduce__(self):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        WholeCheckpointIO().save_checkpoint({"step": Unwritable()}, path)
    assert WholeCheckpointIO().load_checkpoint(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_run_notes_that_it_has_finished_and_clears_what_the_one_before_left(tiny_lm_dir, tmp_path):
    root = tmp_path / "run"
    (root / "checkpoints").mkdir(parents=True)
    (root / "checkpoints" / "step=7.ckpt").write_text("old")
    (root / "results.json").write_text("kept")
    run(tiny_lm_dir, tmp_path, RunFolder(root, "a: 1\n", resumed=False), batches=2)
    assert json.loads((root / "run.json").read_text()) == {"finished": True, "steps": 1}
    assert (root / "config.yaml").read_text() == "a: 1\n"
    assert [file.name for file in (root / "checkpoints").iterdir()] == ["last.ckpt"]
    assert torch.load(root / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1
    assert (root / "results.json").exists()


def test_a_run_that_cannot_begin_leaves_the_folder_as_it_was(tmp_path):
    root = tmp_path / "run"
    with pytest.raises(InputError):
        run(tmp_path / "nowhere", tmp_path, RunFolder(root, "", resumed=False))
    assert not root.exists()
    (root / "checkpoints").mkdir(parents=True)
    (root / "checkpoints" / "last.ckpt").write_text("old")
    with pytest.raises(InputError):
        run(tmp_path / "nowhere", tmp_path, RunFolder(root, "", resumed=False))
    assert (root / "checkpoints" / "last.ckpt").read_text() == "old"


def test_only_an_unfinished_run_with_a_checkpoint_goes_on(tmp_path):
    assert checkpoint_to_go_on_from(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_text("x")
    assert checkpoint_to_go_on_from(tmp_path) is None
    (tmp_path / "run.json").write_text('{"finished": false}')
    assert checkpoint_to_go_on_from(tmp_path) == last
    (tmp_path / "run.json").write_text('{"finished": true}')
    assert checkpoint_to_go_on_from(tmp_path) is None
    (tmp_path / "run.json").write_text('{"finished": 3}')
    with pytest.raises(InputError, match="not a note about a run"):
        checkpoint_to_go_on_from(tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_export_is_loaded_by_plain_transformers(tiny_lm_dir, tmp_path, dtype):
    module = run(tiny_lm_dir, tmp_path, SavePretrained("exported", dtype), batches=2)
    folder = tmp_path / "exported"
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == getattr(torch, dtype)
    for name, value in module.lm.state_dict().items():
        assert torch.equal(value.to(loaded.dtype), loaded.state_dict()[name])
    text = [{"role": "user", "content": "the end"}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.apply_chat_template(text, tokenize=False) == module.tokenizer.apply_chat_template(
        text, tokenize=False
    )
    assert all(
        file.stat().st_mode & 0o777 == (folder / "config.json").stat().st_mode & 0o777 for file in folder.iterdir()
    )
    assert module.lm.dtype == torch.float32


def test_an_export_folder_that_cannot_be_made_is_named_before_training(tiny_lm_dir, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken"):
        run(tiny_lm_dir, tmp_path, SavePretrained(str(tmp_path / "taken")), batches=2)
