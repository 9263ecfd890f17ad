"""MENDModule: it learns, its checkpoints hold all that matters and no more, and what breaks is reported."""

import copy

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from callbacks.resume import ExactResume
from datamodules.base import ResumableLoader
from editors.hypernetwork import TransformOptions
from editors.outer import OuterOptions
from files.errors import InputError
from interventions.applied import applied
from lightning_modules.mend import MENDModule
from lm.loading import LMSpec
from tests.unit.editors.batches import random_batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]
CHATS = [
    [
        {"role": "system", "content": f"Speak of {topic} as an extravert."},
        {"role": "user", "content": f"What of {topic}?"},
        {"role": "assistant", "content": f"{topic}! I love it."},
    ]
    for topic in ("tea", "rain")
]


def module_of(folder, **options):
    torch.manual_seed(0)
    settings = {"last_layers": 1, "transform": TransformOptions(rank=8), "learning_rate": 1e-3, **options}
    return MENDModule(LMSpec(str(folder)), **settings)


def loader(batches=8, edits=2):
    return DataLoader([random_batch(edits=edits, seed=seed) for seed in range(batches)], batch_size=None)


def trainer_of(folder, **options):
    settings = {"max_epochs": 1, "gradient_clip_val": 100.0, "enable_checkpointing": False, "callbacks": [], **options}
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


@pytest.fixture
def trained(tiny_lm_dir, tmp_path):
    module = module_of(tiny_lm_dir)
    trainer_of(tmp_path).fit(module, loader())
    return module


class Losses(Callback):
    """Keeps what every step logged."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def test_it_learns_and_measures(tiny_lm_dir, tmp_path):
    module, losses = module_of(tiny_lm_dir, learning_rate=3e-3, edit_lr_learning_rate=3e-3), Losses()
    trainer = trainer_of(tmp_path, max_epochs=6, callbacks=[losses])
    module.configure_model()
    frozen = {name: value.clone() for name, value in module.lm.state_dict().items()}
    trainer.fit(module, loader(), loader(2))
    edit_losses = [step["train/edit_loss"] for step in losses.steps]
    assert sum(edit_losses[-8:]) < sum(edit_losses[:8]) - 0.5
    metrics = trainer.callback_metrics
    assert {"val/edit_success", "val/drawdown", "val/broken_edits", "val/loss", "train/gradient_norm"} <= set(metrics)
    assert 0 <= metrics["val/edit_success"] <= 1 and metrics["val/drawdown"] > 0
    assert all(torch.equal(value, frozen[name]) for name, value in module.lm.state_dict().items())
    assert module.edit_success.records == 0  # reset after the epoch


def test_both_learning_rates_have_their_own_optimiser(tiny_lm_dir, tmp_path):
    module = module_of(tiny_lm_dir, learning_rate=0.0, edit_lr_learning_rate=0.01)
    module.configure_model()
    before = copy.deepcopy(dict(module.hypernetwork.named_parameters()))
    trainer = trainer_of(tmp_path)
    trainer.fit(module, loader(2))
    changed = {name for name, value in module.hypernetwork.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"edit_lrs"} and len(trainer.optimizers[0].parts) == 2


def test_checkpoints_hold_what_was_trained(trained, tiny_lm_dir):
    state = trained.state_dict()
    assert state and not any(name.startswith("lm.") for name in state)
    assert any(name.endswith("moments.count") for name in state)
    other = module_of(tiny_lm_dir)
    other.configure_model()
    other.load_state_dict(state)
    batch = random_batch(seed=50)
    for path, change in trained.intervene(batch).weights.items():
        assert torch.equal(change.delta(), other.intervene(batch).weights[path].delta())
    narrower = module_of(tiny_lm_dir, transform=TransformOptions(rank=4))
    narrower.configure_model()
    with pytest.raises(InputError, match="another shape"):
        narrower.load_state_dict(state)


class SaveAt(Callback):
    """Saves a checkpoint after so many batches."""

    def __init__(self, batches, path):
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("stop", [1, 2, 3, 6])
def test_a_run_cut_anywhere_goes_on_exactly(tiny_lm_dir, tmp_path, stop):
    """Also between the batches of one optimiser step, whose gradients then travel in the checkpoint."""
    batches = [random_batch(edits=1, rows=3, seed=seed) for seed in range(9)]
    options = {"accumulate_grad_batches": 3}

    def data():
        return ResumableLoader(batches, 1, lambda items: items[0], seed=5)

    straight = module_of(tiny_lm_dir, warmup_steps=1, final_share=0.1)
    trainer_of(tmp_path, callbacks=[ExactResume()], **options).fit(straight, data())
    cut = module_of(tiny_lm_dir, warmup_steps=1, final_share=0.1)
    trainer_of(tmp_path, callbacks=[ExactResume(), SaveAt(stop, tmp_path / "cut.ckpt")], **options).fit(cut, data())
    resumed = module_of(tiny_lm_dir, warmup_steps=1, final_share=0.1, edit_lr=5.0)
    trainer = trainer_of(tmp_path, callbacks=[ExactResume()], **options)
    trainer.fit(resumed, data(), ckpt_path=tmp_path / "cut.ckpt", weights_only=True)
    want = straight.state_dict()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, want[name]), name


def test_edits_are_made_under_inference_mode(trained):
    batch = random_batch(seed=7)
    want = trained.intervene(batch)
    with torch.inference_mode():
        inside = random_batch(seed=7)
        got = trained.intervene(inside)
    for path, change in want.weights.items():
        assert torch.equal(change.delta(), got.weights[path].delta())
        assert not change.u.requires_grad


def test_an_edited_model_to_talk_to_and_to_keep(trained, tmp_path):
    edited = trained.edit(CHATS)
    assert [health.broken for health in edited.health] == [False, False]
    ids = torch.randint(6, 272, (2, 7))
    with torch.no_grad():
        base = trained.lm(ids).logits
        with edited.applied():
            logits = trained.lm(ids).logits
        for number in range(2):
            plain = edited.materialize(number)(ids[number : number + 1]).logits
            torch.testing.assert_close(logits[number : number + 1], plain, rtol=1e-4, atol=1e-4)
        assert torch.equal(trained.lm(ids).logits, base) and not torch.equal(logits, base)


def test_edits_on_top_of_each_other(trained):
    first = trained.edit(CHATS).edit
    both = trained.edit(CHATS[::-1], on_top_of=first).edit
    alone = trained.edit(CHATS[::-1]).edit
    path = next(iter(first.weights))
    second = both.weights[path].delta(0) - first.weights[path].delta(0)
    assert not torch.allclose(second, alone.weights[path].delta(0), rtol=1e-3)
    plain = first.only(0).materialize(trained.lm)
    trained_lm, trained.lm = trained.lm, plain
    trained.halves = type(trained.halves)(plain, plain.model.layers, trained.edited.first)
    trained.edited.modules.update({name: plain.get_submodule(name) for name in trained.edited.modules})
    want = trained.edit(CHATS[1:]).edit.weights[path].delta()
    trained.lm = trained_lm
    torch.testing.assert_close(second, want, rtol=1e-3, atol=1e-5)


def test_an_edit_that_breaks_the_model_is_reported(trained, caplog):
    trained.broken_above = 0.1
    trained.intervene(random_batch(seed=3))
    assert not caplog.text and not any(health.broken for health in trained.health)
    with torch.no_grad():
        trained.hypernetwork.edit_lrs.fill_(1e4)
    trained.intervene(random_batch(seed=3))
    assert all(health.broken for health in trained.health)
    assert "extraversion, topic 0" in caplog.text and "breaks the model" in caplog.text
    with torch.no_grad():
        trained.hypernetwork.edit_lrs.fill_(torch.nan)
    trained.intervene(random_batch(seed=3))
    assert all(health.broken for health in trained.health)


def test_a_batch_without_finite_gradients_moves_nothing(tiny_lm_dir, tmp_path, caplog):
    module = module_of(tiny_lm_dir, edit_lr=float("inf"))
    module.configure_model()
    before = copy.deepcopy(module.hypernetwork.transforms.state_dict())
    trainer_of(tmp_path, max_steps=1).fit(module, loader(1))
    assert "left out of this step: topic 0, topic 1" in caplog.text
    after = module.hypernetwork.transforms.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if "moments" not in name)


def test_an_untrained_editor_says_so(tiny_lm_dir):
    module = module_of(tiny_lm_dir)
    module.configure_model()
    with pytest.raises(InputError, match="never trained"):
        module.intervene(random_batch())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": ["gate", "sideways"]}, "no weight of this role"),
        ({"weights": ["model.layers.0.mlp.gate_prj"]}, "gate_proj"),
        ({"weights": ["lm_head.x"]}, "no module of this name"),
        ({"weights": ["model.embed_tokens.weight"]}, "linear layer"),
        ({"layers": [7]}, "no such layer"),
        ({"layers": []}, "no layer to edit"),
    ],
)
def test_weights_that_are_not_there(tiny_lm_dir, options, message):
    with pytest.raises(InputError, match=message):
        module_of(tiny_lm_dir, **options).configure_model()


def test_weights_by_role_and_by_name(tiny_lm_dir):
    module = module_of(tiny_lm_dir, layers=[1], weights=["down", "model.layers.0.self_attn.o_proj.weight"])
    module.configure_model()
    assert list(module.edited.modules) == ["model.layers.1.mlp.down_proj", "model.layers.0.self_attn.o_proj"]
    assert module.edited.first == 0


def test_early_stopping_and_checkpoints_watch_the_validation_figures(tiny_lm_dir, tmp_path):
    module = module_of(tiny_lm_dir)
    keep = ModelCheckpoint(tmp_path, monitor="val/edit_success", mode="max", filename="best")
    trainer_of(tmp_path, enable_checkpointing=True, callbacks=[keep]).fit(module, loader(2), loader(1))
    assert (tmp_path / "best.ckpt").is_file()


def test_all_tokens_can_count(tiny_lm_dir, tmp_path):
    module = module_of(tiny_lm_dir, loss=OuterOptions(counted="all", chunk_tokens=30))
    trainer = trainer_of(tmp_path)
    trainer.fit(module, loader(2))
    assert torch.isfinite(trainer.callback_metrics["train/loss"])


def test_the_edit_answers_in_batches(trained):
    edit = trained.intervene(random_batch(edits=3, seed=9))
    ids = torch.randint(6, 272, (4, 5))
    with torch.no_grad(), applied(trained.lm, edit.rows([2, 0, 0, 1])):
        assert torch.isfinite(trained.lm(ids).logits).all()
