"""RepE and sparse autoencoders in `evaluate.py`, each beside random directions, from settings in a file."""

import json

import pytest
import yaml

import evaluate
from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.autoencoder_files import write_autoencoder
from tests.faults.commands import ended
from tests.papi import write_papi
from tests.unit.callbacks.test_directions import contrasts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def settings(lm_dir, folder, method, options):
    content = {
        "model": {
            "class_path": "lightning_modules.evaluation.EvalModule",
            "init_args": {"lm": {"name": str(lm_dir)}, "rows": 64},
        },
        "data": {
            "class_path": "datamodules.papi.PapiDataModule",
            "init_args": {"data_dir": str(write_papi(folder / "papi", 2, items=20, describing=10)), "batch_size": 2},
        },
        "baselines": [{"class_path": "callbacks.random_directions.RandomDirections"}],
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "default_root_dir": str(folder / "run"),
            "callbacks": [{"class_path": method, "init_args": options}],
        },
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return ["--config", path]


def methods_in(root):
    return {row["method"] for row in json.loads((root / "results.json").read_text())}


def test_repe_is_evaluated_beside_its_control(tiny_lm_dir, tmp_path, capsys):
    options = {"contrasts": contrasts(tmp_path), "samples": 2, "layers": [0, 1], "where": "last"}
    options["questions"] = str(tmp_path / "questions.json")
    arguments = settings(tiny_lm_dir, tmp_path, "callbacks.repe.RepE", options)
    assert ended(evaluate.main, arguments, capsys).code == 0
    assert methods_in(tmp_path / "run") == {"repe", "random_direction", "none"}
    assert (tmp_path / "run" / "repe.safetensors").is_file()
    (tmp_path / "contrasts.json").write_text('{"extraversion": {"positive": ["a", "b"], "negative": ["c"]}}')
    ended(evaluate.main, arguments, capsys).says("contrasts.json", "different length")


def test_features_are_evaluated_beside_their_control(tiny_lm_dir, tmp_path, capsys):
    network = SparseAutoencoder(AutoencoderForm("topk", 32, 64, k=8))
    folder = write_autoencoder(tmp_path / "sae", network, 1)
    options = {"autoencoder": str(folder), "texts": 2, "count": 4}
    arguments = settings(tiny_lm_dir, tmp_path, "callbacks.sae_steering.SAESteering", options)
    assert ended(evaluate.main, arguments, capsys).code == 0
    assert methods_in(tmp_path / "run") == {"sae", "random_direction", "none"}
    assert {"sae.safetensors", "features.json"} <= {path.name for path in (tmp_path / "run").iterdir()}
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"]["hook_name"] = "blocks.1.attn.hook_z"
    (folder / "cfg.json").write_text(json.dumps(config))
    ended(evaluate.main, arguments, capsys).says("cfg.json", "output of a decoder block")
