"""What PAS has learnt of people goes through files: each person, everybody, and back into an evaluation."""

import json

import pytest
import torch

from callbacks.bundled import Bundled
from callbacks.save_bundles import EVERYBODY, SaveBundles
from files.errors import InputError
from interventions.bundle import load_bundle, stack_bundles
from interventions.places import places_of
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec, load_model
from tests.models import byte_tokenizer, random_model
from tests.papi import evaluate_people, learn_people, write_papi

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*weights_only. was not set"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=3)


@pytest.fixture(scope="module")
def run(tiny_lm_dir, folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("pas")
    learn_people(tiny_lm_dir, folder, root, callbacks=[SaveBundles()], strengths=[2.0, 6.0])
    return root


def errors(root):
    rows = json.loads((root / "results.json").read_text(encoding="utf-8"))
    return {(row["method"], row["metric"]): row["value"] for row in rows if row["metric"].startswith("alignment_error")}


def test_everybody_and_each_person_are_written(tiny_lm_dir, run):
    model = load_model(LMSpec(str(tiny_lm_dir)))
    for prompt in ("plain", "described"):
        files = {path.name for path in (run / "bundles" / prompt).iterdir()}
        assert files == {EVERYBODY, *(f"case-{100 + n}.safetensors" for n in range(3))}
        everybody = load_bundle(run / "bundles" / prompt / EVERYBODY, model)
        assert everybody.personas == ("100", "101", "102") and everybody.method == "pas"
        each = [
            load_bundle(run / "bundles" / prompt / f"case-{name}.safetensors", model) for name in everybody.personas
        ]
        stacked = stack_bundles(each).intervention.resolved()
        assert all(torch.equal(stacked.tables[layer], table) for layer, table in everybody.intervention.tables.items())
        assert torch.equal(stacked.strength, everybody.intervention.strength)
        saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        assert torch.equal(everybody.intervention.strength, saved["strengths"][:, 0 if prompt == "plain" else 1, 0])


def test_a_bundle_steers_as_the_checkpoint_does(tiny_lm_dir, folder, run, tmp_path):
    bundle = str(run / "bundles" / "plain" / EVERYBODY)
    evaluate_people(tiny_lm_dir, folder, tmp_path / "checkpoint", ckpt_path=str(run / "checkpoints" / "last.ckpt"))
    evaluate_people(tiny_lm_dir, folder, tmp_path / "bundle", [Bundled(bundle)])
    evaluate_people(tiny_lm_dir, folder, tmp_path / "none", [Bundled(bundle, strength=0.0)])
    trained, bundled, unmoved = (errors(tmp_path / name) for name in ("checkpoint", "bundle", "none"))
    assert {metric: value for (_, metric), value in trained.items()} == {
        metric: value for (_, metric), value in bundled.items()
    }
    rows = json.loads((tmp_path / "none" / "results.json").read_text(encoding="utf-8"))
    assert all(row["value"] == row["base_value"] for row in rows if row["metric"].startswith("alignment_error"))
    assert unmoved.keys() == bundled.keys()


def test_one_person_steers_all_and_unknown_people_are_refused(tiny_lm_dir, folder, run, tmp_path):
    one = str(run / "bundles" / "plain" / "case-101.safetensors")
    evaluate_people(tiny_lm_dir, folder, tmp_path / "one", [Bundled(one)])
    others = write_papi(tmp_path / "others", people=4)
    with pytest.raises(InputError, match="no persona of a record's name"):
        evaluate_people(
            tiny_lm_dir, others, tmp_path / "run", [Bundled(str(run / "bundles" / "plain" / EVERYBODY))],
            data={"batch_size": 4},
        )  # fmt: skip


def test_a_bundle_of_another_model_is_refused(folder, run, tmp_path):
    bundle = Bundled(str(run / "bundles" / "plain" / EVERYBODY))
    for name, model in (("weights", random_model("llama", seed=5)), ("sizes", random_model("llama", layers=3))):
        model.save_pretrained(tmp_path / name)
        byte_tokenizer().save_pretrained(tmp_path / name)
        with pytest.raises(InputError, match="was made for .*model"):
            evaluate_people(tmp_path / name, folder, tmp_path / "run", [bundle])


def test_strengths_of_traits_are_in_the_vectors(tiny_lm_dir, folder, tmp_path):
    learn_people(tiny_lm_dir, folder, tmp_path, callbacks=[SaveBundles(each=False)], per_trait=True, prompts=["plain"])
    model = load_model(LMSpec(str(tiny_lm_dir)))
    bundle = load_bundle(tmp_path / "bundles" / "plain" / EVERYBODY, model)
    assert torch.equal(bundle.intervention.strength, torch.ones(3))
    assert list(bundle.intervention.tables) == list(places_of(model).layers)


def test_a_module_without_bundles_is_refused(tiny_lm_dir):
    with pytest.raises(InputError, match="no bundles to save"):
        SaveBundles().on_fit_start(None, SFTModule(LMSpec(str(tiny_lm_dir))))
