"""Training a classifier of traits: calibrated, exported, resumed; and the built-in one on held-out wordings."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

import train
from benchmarks.classifier import RECIPE, classifier_of
from benchmarks.classifier import main as publish
from datamodules.trait_texts import TraitTextDataModule
from lightning_modules.classifier import ClassifierModule
from lm.classifier import ClassifierSpec, TraitClassifier, load_classifier
from lm.loading import LMSpec
from metrics.calibration import fit_temperature
from organism.labelled_texts import LABELS, labelled_text
from personas.traits import TRAITS
from tests.classifiers import classifier_config
from tests.faults.commands import ended
from tests.models import byte_tokenizer

REPOSITORY = Path(__file__).resolve().parents[3]
BUILT_IN = REPOSITORY / "assets/tiny-classifier"


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random-classifier")
    classifier_config(LABELS).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return LMSpec(str(folder), random_init=True)


def trained(spec, root, steps=6):
    module = ClassifierModule(spec, LABELS, learning_rate=1e-2, warmup_steps=1)
    data = TraitTextDataModule(spec, texts=22 * steps, val_texts=44, batch_size=22, max_tokens=48, seed=1)
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=root,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=data)
    return module, data, trainer


def test_every_validation_calibrates_and_the_copy_carries_it(spec, tmp_path):
    module, data, trainer = trained(spec, tmp_path)
    assert module.temperature.item() != 1.0
    assert {"val/accuracy", "val/loss", "val/calibration_error"} <= trainer.callback_metrics.keys()
    batch = data.batch(range(11), "held_out")
    module.eval()
    with torch.no_grad():
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        scaled = module.lm(**inputs).logits / module.temperature
        torch.testing.assert_close(module.calibrated()(**inputs).logits, scaled, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_comes_back_with_its_temperature(spec, tmp_path):
    module, _, trainer = trained(spec, tmp_path, steps=2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    other = ClassifierModule(spec, LABELS)
    other.configure_model()
    other.load_state_dict(state)
    assert other.temperature == module.temperature
    assert all(torch.equal(a, b) for a, b in zip(module.lm.parameters(), other.lm.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_published_is_calibrated_by_the_run_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    settings = {"data.init_args.texts": 192, "data.init_args.val_texts": 44, "trainer.default_root_dir": tmp_path}
    settings |= {"trainer.accelerator": "cpu", "trainer.logger": "false", "trainer.enable_progress_bar": "false"}
    given = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    assert ended(train.main, ["fit", "--config", RECIPE, *given], capsys).code == 0
    checkpoint = str(tmp_path / "checkpoints" / "last.ckpt")
    module = classifier_of(checkpoint).eval()
    batch = TraitTextDataModule(module.lm_spec, val_texts=44, seed=1).batch(range(44), "held_out")
    with torch.no_grad():
        logits = module.lm(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert module.temperature.item() == pytest.approx(fit_temperature(logits, batch.labels), rel=1e-3)
    publish(["--ckpt_path", checkpoint, "--out", str(tmp_path / "out"), "--texts", "22"])
    check = json.loads((tmp_path / "out" / "check.json").read_text())
    assert check["temperature"] == module.temperature.item()
    published = load_classifier(ClassifierSpec(str(tmp_path / "out")))
    with torch.no_grad():
        scaled = published(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    torch.testing.assert_close(scaled, logits / module.temperature, rtol=2e-2, atol=2e-2)


def test_a_classifier_that_was_never_calibrated_is_not_published(spec, tmp_path):
    module, _, trainer = trained(spec, tmp_path, steps=1)
    module.temperature.fill_(1.0)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(SystemExit) as ended:
        publish(["--ckpt_path", str(tmp_path / "last.ckpt"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and not (tmp_path / "out").exists()


def test_texts_are_the_same_whoever_asks_and_never_cross_the_split(spec):
    data = TraitTextDataModule(spec, seed=3)
    first, again = data.batch([4, 5], "train"), data.batch([5, 4], "train")
    assert torch.equal(first.labels, again.labels.flip(0)) and first.labels.tolist() == [4, 5]
    train = {labelled_text(3, n, "train")[0] for n in range(300)}
    assert not train & {labelled_text(3, n, "held_out")[0] for n in range(300)}


def test_the_built_in_classifier_is_right_and_knows_how_often():
    from torchmetrics.functional.classification import multiclass_calibration_error

    classifier = TraitClassifier(ClassifierSpec(str(BUILT_IN)), TRAITS)
    assert classifier.poles == LABELS
    # neither the texts it was calibrated on nor those of its card
    texts, labels = zip(*(labelled_text(977, n, "held_out") for n in range(550)), strict=True)
    shares, wanted = classifier.probabilities(texts), torch.tensor(labels)
    assert (shares.argmax(-1) == wanted).float().mean() >= 0.95
    assert multiclass_calibration_error(shares, wanted, num_classes=len(LABELS)) <= 0.05
    assert (BUILT_IN / "model.safetensors").stat().st_size <= 4 * 2**20
