"""Training a sparse autoencoder: it learns, revives dead features, resumes bit for bit, and is written for others."""

import json

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from benchmarks.sae import FIGURES
from benchmarks.sae import main as publish
from callbacks.feature_finding import facet_chats
from callbacks.resume import ExactResume
from callbacks.save_autoencoder import SaveAutoencoder
from datamodules.corpus import CorpusDataModule
from files.errors import InputError
from files.provenance import REPOSITORY
from interventions.autoencoder_files import read_autoencoder
from interventions.places import places_of
from interventions.replaced import output_of
from lightning_modules.base import HEADER
from lightning_modules.sae import SAEModule
from lm.chat import encode_chats, pad_encoded
from lm.loading import LMSpec, load_model, load_tokenizer
from metrics.autoencoder import ExplainedVariance
from organism.lexicon import all_facets
from tests.unit.lightning_modules.chats import chats_file

BUILT_IN = REPOSITORY / "assets/tiny-sae"


def fit(lm_dir, folder, *callbacks, batches=8, val_chats=0, ckpt_path=None, **settings):
    torch.manual_seed(0)
    spec = LMSpec(str(lm_dir))
    defaults = {"features": 48, "k": 6, "learning_rate": 5e-3, "warmup_steps": 2, "dead_after": 100}
    module = SAEModule(spec, **(defaults | settings))
    data = CorpusDataModule(
        spec,
        file=str(chats_file(folder)),
        batches=batches,
        tokens_per_batch=192,
        widths=[48],
        window=6,
        val_chats=val_chats,
        num_workers=0,
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        max_epochs=1,
        gradient_clip_val=1.0,
        limit_val_batches=1.0 if val_chats else 0,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        callbacks=[ExactResume(), *callbacks],
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module


@pytest.mark.parametrize("architecture", ["topk", "jumprelu"])
def test_training_explains_more_and_validation_says_how_much(tiny_lm_dir, tmp_path, architecture):
    short = fit(tiny_lm_dir, tmp_path, batches=1, val_chats=6, architecture=architecture)
    before = short.trainer.callback_metrics["val/explained_variance"]
    module = fit(tiny_lm_dir, tmp_path, batches=60, val_chats=6, architecture=architecture)
    figures = module.trainer.callback_metrics
    assert figures["val/explained_variance"] > max(0.5, before)
    assert figures["val/loss"] > 0
    expected = (figures["val/loss_ablated"] - figures["val/loss_patched"]) / (
        figures["val/loss_ablated"] - figures["val/loss"]
    )
    torch.testing.assert_close(figures["val/loss_recovered"], expected)
    if architecture == "topk":
        assert figures["val/l0"] <= 6
    torch.testing.assert_close(module.autoencoder.decoder.norm(dim=-1), torch.ones(48))
    assert not any(parameter.requires_grad for parameter in module.lm.parameters())


def test_a_higher_price_of_features_leaves_fewer_active(tiny_lm_dir, tmp_path):
    cheap, dear = (
        fit(tiny_lm_dir, tmp_path, batches=60, val_chats=6, architecture="jumprelu", sparsity=price, sparsity_warmup=5)
        for price in (1e-4, 1e-1)
    )
    counts = [float(module.trainer.callback_metrics["val/l0"]) for module in (cheap, dear)]
    assert counts[1] < counts[0]


def test_dead_features_learn_from_the_revival_alone(tiny_lm_dir, tmp_path, monkeypatch):
    for revival, learns in ((0.0, False), (0.5, True)):
        module = fit(tiny_lm_dir, tmp_path, batches=2, revival=revival, features=200)
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        batch = next(iter(module.trainer.datamodule.train_dataloader()))
        quiet = (module.autoencoder.encode(module._tokens(batch) * module.scale) == 0).all(0)
        assert quiet.any()
        module.silent.fill_(10**6)
        module.autoencoder.zero_grad()
        module.training_step(batch, 0).backward()
        assert bool(module.autoencoder.encoder.grad[:, quiet].any()) is learns
        assert torch.equal(module.silent > 0, quiet)


# The second run goes on in the folder of the first.
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tiny_lm_dir, tmp_path):
    def kept():
        return ModelCheckpoint(tmp_path / "kept", every_n_train_steps=1, save_top_k=-1, filename="{step}")

    straight = fit(tiny_lm_dir, tmp_path, kept())
    resumed = fit(tiny_lm_dir, tmp_path, kept(), ckpt_path=tmp_path / "kept" / "step=3.ckpt")
    ours, theirs = straight.state_dict(), resumed.state_dict()
    assert ours.keys() == theirs.keys() and not any(name.startswith("lm.") for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_exported_reconstructs_the_model_s_own_activations(tiny_lm_dir, tmp_path):
    module = fit(tiny_lm_dir, tmp_path, SaveAutoencoder(), layer=0)
    stored = read_autoencoder(tmp_path / "sae")
    assert stored.layer == 0 and stored.model == str(tiny_lm_dir)
    batch = next(iter(module.trainer.datamodule.train_dataloader()))
    inputs = module._tokens(batch)
    torch.testing.assert_close(
        stored.network(inputs) * module.scale, module.autoencoder(inputs * module.scale), rtol=1e-4, atol=1e-5
    )


def test_bad_options_and_activations_are_refused(tiny_lm_dir, tmp_path):
    for option, value in (("k", 49), ("features", 0), ("layer", 7), ("dead_after", 0)):
        with pytest.raises(InputError):
            SAEModule(LMSpec(str(tiny_lm_dir)), **({"features": 48, "k": 6} | {option: value})).configure_model()
    module = fit(tiny_lm_dir, tmp_path, batches=1)
    with torch.no_grad():
        module.lm.get_input_embeddings().weight.fill_(torch.nan)
    batch = next(iter(module.trainer.datamodule.train_dataloader()))
    with pytest.raises(InputError, match="not finite"):
        module._tokens(batch)


def test_what_is_published_has_its_check_beside_it(tiny_lm_dir, tmp_path, capsys):
    keep = ModelCheckpoint(dirpath=tmp_path / "checkpoints", save_last=True, every_n_train_steps=1)
    module = fit(tiny_lm_dir, tmp_path, keep, batches=3)
    publish(["--ckpt_path", str(tmp_path / "checkpoints/last.ckpt"), "--out", str(tmp_path / "out"), "--chats", "2"])
    stored = read_autoencoder(tmp_path / "out")
    settings = json.loads((tmp_path / "out/cfg.json").read_text())
    assert stored.layer == module.chosen_layer and settings["dtype"] == "float16"
    torch.testing.assert_close(stored.network.decoder, module.trained().decoder, rtol=1e-3, atol=1e-4)
    figures = json.loads((tmp_path / "out/check.json").read_text())
    card = (tmp_path / "out/README.md").read_text()
    assert figures["l0"] <= 6 and figures["chats"] == 2
    printed = capsys.readouterr().out
    assert all(name in printed for name in FIGURES)
    assert f"{figures['explained_variance']:.3f}" in card and f"{figures['loss_recovered']:.3f}" in card


def test_only_autoencoders_are_published(tmp_path):
    torch.save({HEADER: {"method": "pas"}}, tmp_path / "pas.ckpt")
    with pytest.raises(SystemExit, match="2"):
        publish(["--ckpt_path", str(tmp_path / "pas.ckpt"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_built_in_one_belongs_to_the_built_in_model():
    figures = json.loads((BUILT_IN / "check.json").read_text())
    assert figures["explained_variance"] >= 0.8 and figures["loss_recovered"] >= 0.9
    stored, spec = read_autoencoder(BUILT_IN), LMSpec("assets/tiny-ocean")
    model = load_model(spec)
    places = places_of(model)
    assert stored.layer == places.sites.num_layers // 2
    chats = [chat for facet in all_facets(("openness",)) for chat in facet_chats(facet, 1, 3)[0]]
    explained = ExplainedVariance(places.sites.hidden_size)
    encoded = pad_encoded(encode_chats(load_tokenizer(spec), chats), 0)
    with torch.no_grad():
        hidden = output_of(
            model, places.block(stored.layer), input_ids=encoded.input_ids, attention_mask=encoded.attention_mask
        )[encoded.answer_mask]
    explained.update(hidden, stored.network(hidden))
    assert explained.compute() > 0.75
