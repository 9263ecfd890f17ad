"""The same evaluation, however it is computed: batches, rows, padding, with and without cached states."""

import json

import pytest
import torch

from callbacks.ike import IKE
from callbacks.steering import SteeringCallback
from datamodules.papi import PapiDataModule
from datamodules.personality_bench import PersonalityBenchDataModule
from datamodules.personality_edit import EditDataModule
from datamodules.trait import TraitDataModule
from interventions.weights import LowRank, LowRankEdit
from lm.chat import encode_continuations
from lm.loading import LMSpec
from lm.plain_scores import score_whole_rows
from lm.sites import sites_of
from lm.token_scores import Item, score_items
from tests.editing import write_edit_data
from tests.models import ARCHITECTURES, byte_tokenizer, random_model
from tests.papi import write_papi
from tests.traits import evaluate, write_bench, write_demonstrations, write_trait

# A random model says anything, and nothing about personality.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]

WAYS = {
    "one by one": ({"batch_size": 1}, {"rows": 1}),
    "uncached, padded left": ({"batch_size": 16}, {"rows": 16, "cached": False}),
    "uncached, padded right": ({"batch_size": 16}, {"rows": 16, "cached": False, "padding_side": "right"}),
    "cached, padded right": ({"batch_size": 3}, {"rows": 5, "padding_side": "right"}),
}


class Nudged(SteeringCallback):
    """Another random edit of one weight in every record."""

    method = "nudged"

    def intervene(self, batch):
        path = sites_of(self.evaluation.lm).editable_weights(1)["up"][0]
        shape = self.evaluation.lm.get_submodule(path).weight.shape
        generators = [torch.Generator().manual_seed(order) for order in batch.questions.order]
        v, u = (torch.stack([torch.randn(1, width, generator=one) for one in generators]) for width in shape)
        return LowRankEdit({path: LowRank(u, v, 0.1)})


class NudgedIKE(Nudged):
    """The same behind examples in the prompt."""

    method = "nudged_ike"

    def __init__(self, file):
        self.ike = IKE(file, count=2)

    def fit(self):
        self.ike.fit()

    def rewrite(self, batch):
        return self.ike.rewrite(batch)


def data_of(name, spec, folder, options):
    if name == "trait":
        return TraitDataModule(spec, str(write_trait(folder)), traits=["openness", "neuroticism"], **options)
    if name == "personality_bench":
        return PersonalityBenchDataModule(spec, str(write_bench(folder, 1)), **options)
    if name == "personality_edit":
        return EditDataModule(spec, str(write_edit_data(folder, 3)), **options)
    return PapiDataModule(spec, str(write_papi(folder, people=3)), **options)


def assert_same(mine, wanted):
    assert mine["id"] == wanted["id"] and mine["samples"] == wanted["samples"]
    for side in ("base", "values"):
        assert mine[side].keys() == wanted[side].keys()
        for metric, value in wanted[side].items():
            other = mine[side][metric]
            assert other == pytest.approx(value, rel=1e-4, abs=1e-4) if value is not None else other is None, metric


@pytest.mark.parametrize("name", ["trait", "personality_bench", "personality_edit", "papi"])
def test_the_rows_are_the_same(tiny_lm_dir, tmp_path, name):
    spec = LMSpec(str(tiny_lm_dir))
    shown = str(write_demonstrations(tmp_path / "shown.json"))
    found = {}
    for way, (of_data, of_model) in {"reference": ({"batch_size": 16}, {"rows": 16}), **WAYS}.items():
        method = Nudged() if name == "papi" else NudgedIKE(shown)
        root = tmp_path / way
        evaluate(tiny_lm_dir, data_of(name, spec, tmp_path / "data", of_data), root, [method], **of_model)
        found[way] = [json.loads(line) for line in (root / "records.jsonl").read_text("utf-8").splitlines()]
    for way in WAYS:
        for mine, wanted in zip(found[way], found["reference"], strict=True):
            assert_same(mine, wanted)
    assert any(record["values"] != record["base"] for record in found["reference"])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_whole_rows_are_scored_as_cached_states_are(arch):
    model = random_model(arch)
    prompts = [[{"role": "user", "content": text}] for text in ("Tea?", "What about the long way home?", "Rain?")]
    answers = [["Yes, of course.", "No."], ["A", "The more the better!"], ["Never", "No"]]
    items = [Item(prompt, 0, of) for prompt, of in encode_continuations(byte_tokenizer(), prompts, answers)]
    wanted = score_items(model, items, 4, [None])
    for side in ("left", "right"):
        for mine, theirs in zip(score_whole_rows(model, items, 4, None, side), wanted, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
