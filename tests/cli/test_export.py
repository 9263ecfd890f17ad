"""`export.py` from start to end: edits and methods by their files, the model card, and what is refused."""

import json

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

import export
from deployment.edits import edited_by, read_edits
from editors.hypernetwork import TransformOptions
from interventions.places import places_of
from interventions.steered_model import SteeredModel
from lightning_modules.mend import MENDModule
from lm.loading import LMSpec
from metrics.result_rows import SCHEMA
from tests.faults.commands import ended, files_in
from tests.unit.callbacks.test_directions import contrasts
from tests.unit.deployment.exported import CLOSE, GIVEN, bundled, model_folder, plain_logits, written
from tests.unit.editors.batches import random_batch
from tests.unit.interventions.steered import add_direction, logits, shift_heads

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
EDITS = [
    {"ent": "Tea", "extraversion": ["I love it!"], "neuroticism": ["I fear it."], "target_per": "extraversion"},
    {"ent": "Rain", "extraversion": ["Let us dance."], "neuroticism": ["It ruins me."], "target_per": "neuroticism"},
]
ROW = {
    "schema": SCHEMA,
    **{"benchmark": "trait", "method": "repe", "model": "tiny", "persona": "all", "metric": "acc", "value": 0.75},
    **{"ci_low": 0.7, "ci_high": 0.8, "n": 40, "base_value": 0.5, "seed": 1, "seconds": 2.0, "peak_memory_mb": 9.0},
}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("lm"), layers=4)


@pytest.fixture(scope="module")
def editor(lm, tmp_path_factory):
    """A checkpoint of an editor, after a few steps."""
    torch.manual_seed(0)
    module = MENDModule(LMSpec(str(lm)), last_layers=1, transform=TransformOptions(rank=8), edit_lr=-0.05)
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, DataLoader([random_batch(edits=2, seed=seed) for seed in range(2)], batch_size=None))
    path = tmp_path_factory.mktemp("mend") / "last.ckpt"
    trainer.save_checkpoint(path)
    return path, module


def test_edits_become_plain_weights(editor, tmp_path, capsys):
    path, module = editor
    (tmp_path / "edits.json").write_text(json.dumps(EDITS))
    edits = ("--edits", tmp_path / "edits.json")
    assert "mend as weights" in written(capsys, path, "--out", tmp_path / "both", *edits)
    first, second = (edit.chat() for edit in read_edits(tmp_path / "edits.json"))
    module.eval()
    both = module.edit([second], on_top_of=module.edit([first]).edit).edit
    inside = logits(module.lm, GIVEN, both)
    assert (inside - logits(module.lm, GIVEN)).abs().max() > 1e-3
    torch.testing.assert_close(plain_logits(tmp_path / "both"), inside, **CLOSE)
    assert "neuroticism, Rain" in (tmp_path / "both" / "README.md").read_text()
    written(capsys, path, "--out", tmp_path / "one", *edits, "--topics", '["Tea"]')
    alone = logits(module.lm, GIVEN, module.edit([first]).edit)
    torch.testing.assert_close(plain_logits(tmp_path / "one"), alone, **CLOSE)

    ended(export.main, [path, "--out", tmp_path / "x"], capsys).says("--edits")
    ended(export.main, [path, "--out", tmp_path / "x", *edits, "--topics", '["Tee"]'], capsys).says("no such topic")
    assert not (tmp_path / "x").exists()


def test_edits_that_break_the_model_are_counted(editor, tmp_path, monkeypatch, caplog):
    _, module = editor
    (tmp_path / "edits.json").write_text(json.dumps(EDITS))
    edited_by(module, read_edits(tmp_path / "edits.json"))
    assert not caplog.text
    monkeypatch.setattr(module, "broken_above", 0.0)
    edited_by(module, read_edits(tmp_path / "edits.json"))
    assert "2 of 2 edits broke the model" in caplog.text and "--topics" in caplog.text


@pytest.fixture
def settings(lm, tmp_path):
    options = {"contrasts": contrasts(tmp_path), "samples": 2, "layers": [1], "strength": 2.0}
    content = {
        "model": {"class_path": "lightning_modules.evaluation.EvalModule", "init_args": {"lm": {"name": str(lm)}}},
        "trainer": {"callbacks": [{"class_path": "callbacks.repe.RepE", "init_args": options}]},
    }
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(content))
    (tmp_path / "results.json").write_text(json.dumps([ROW]))
    return path


def test_a_method_is_learnt_and_exported_for_personas(settings, tmp_path, capsys):
    people = '["extraversion+", "neuroticism=-0.5"]'
    out = tmp_path / "deep" / "out"
    assert "repe as bundle" in written(capsys, settings, "--out", out, "--personas", people)
    card = (out / "README.md").read_text()
    assert "0.750 [0.700, 0.800]" in card and "`acc`" in card and "--control-vector" in card
    assert {"extraversion+.gguf", "neuroticism-0.5.gguf", "bundle.safetensors"} <= files_in(out)
    steered = SteeredModel.from_pretrained(out, persona="neuroticism-0.5")
    table = steered.bundle.intervention.tables[1]
    assert table.shape[0] == 2 and bool((table != 0).any())


def test_a_folder_that_holds_something_is_left_alone(settings, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    arguments = [settings, "--out", out, "--personas", '["extraversion+"]']
    ended(export.main, arguments, capsys).says("mine.txt", "--out", "not empty")
    assert files_in(out) == {"mine.txt"}
    (out / "mine.txt").unlink()
    written(capsys, *arguments)
    assert "steering.json" in files_in(out)
    ended(export.main, [settings, "--out", tmp_path / "results.json"], capsys).says("is a file")


def test_nothing_half_written_stays_behind(settings, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deployment.exporting.save_bundle", full)
    before = files_in(tmp_path)
    arguments = [settings, "--out", tmp_path / "out", "--personas", '["extraversion+"]']
    ended(export.main, arguments, capsys).says("No space left", str(tmp_path / "out"))
    assert files_in(tmp_path) == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["says nothing of whom"]),
        (["--personas", '["sunny+"]'], ["names no persona", "sunny+"]),
        (["--personas", '["openness+"]'], ["cannot express"]),
        (["--personas", '["extraversion+"]', "--form", "bias"], ["--form", "bundle or control_vector"]),
        (["--personas", '["extraversion+"]', "--model", "./nowhere"], ["no such model folder"]),
        (["--personas", '["extraversion+"]', "--results", "settings.yaml"], ["settings.yaml"]),
        (["--personas", '["extraversion+"]', "--ckpt_path", "nowhere.ckpt"], ["no such checkpoint"]),
    ],
)
def test_what_cannot_be_exported_is_refused(arguments, parts, settings, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = ended(export.main, [settings, "--out", "out", *arguments], capsys)
    assert outcome.code == 2 and "Traceback" not in outcome.message
    for part in parts:
        assert part in outcome.message
    assert not (tmp_path / "out").exists()


def test_only_what_can_be_exported_is_a_source(lm, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    ended(export.main, [tmp_path / "nothing.ckpt", *out], capsys).says("nothing that can be exported")
    ended(export.main, [lm, *out], capsys).says("nothing that can be exported", "config.json")
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 40)
    assert ended(export.main, [tmp_path / "bad.safetensors", *out], capsys).code == 2
    (tmp_path / "none.yaml").write_text("model: {init_args: {lm: {name: x}}}")
    ended(export.main, [tmp_path / "none.yaml", *out], capsys).says("names no method")
    (tmp_path / "prompt.yaml").write_text(
        f"model: {{init_args: {{lm: {{name: {lm}}}}}}}\n"
        "trainer: {callbacks: [{class_path: callbacks.prompting.SimplePrompt}]}\n"
    )
    ended(export.main, [tmp_path / "prompt.yaml", *out, "--personas", '["trust+"]'], capsys).says("writes into prompts")
    (tmp_path / "odd.yaml").write_text(
        f"model: {{init_args: {{lm: {{name: {lm}}}}}}}\n"
        "trainer: {callbacks: [{class_path: callbacks.repe.RepE, init_args: {strenght: 3}}]}\n"
    )
    ended(export.main, [tmp_path / "odd.yaml", *out, "--personas", '["trust+"]'], capsys).says("strenght")


def test_the_first_block_has_no_control_vector(lm, tmp_path, capsys):
    def two_blocks(model):
        found = places_of(model)
        second = add_direction(found, 1)
        return type(second)(found, {0: second.tables[1][:, 0], 1: second.tables[1][:, 0]})

    path, _ = bundled(tmp_path, lm, "repe", ("anna",), two_blocks)
    says = ended(export.main, [path, "--out", tmp_path / "out", "--form", "control_vector"], capsys)
    says.says("llama.cpp cannot steer the first decoder block")
    written(capsys, path, "--out", tmp_path / "out")
    assert not [name for name in files_in(tmp_path / "out") if name.endswith(".gguf")]
    assert "There is no control vector" in (tmp_path / "out" / "README.md").read_text()


def test_rounded_weights_are_named_as_such(lm, tmp_path, capsys):
    path, inside = bundled(tmp_path, lm, "pas", ("anna",), lambda model: shift_heads(places_of(model), 1))
    written(capsys, path, "--out", tmp_path / "out", "--dtype", "float16")
    assert "rounded to float16" in (tmp_path / "out" / "README.md").read_text()
    assert (plain_logits(tmp_path / "out") - inside).abs().max() < 0.2
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float16"
