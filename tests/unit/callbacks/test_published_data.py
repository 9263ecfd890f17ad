"""Prompts and examples over the published files."""

import json
from pathlib import Path

import pytest

from callbacks.ike import IKE
from callbacks.prompting import DescriptionPrompt, SimplePrompt
from datamodules.personality_bench import PersonalityBenchDataModule
from datamodules.personality_edit import EditDataModule
from lm.loading import LMSpec
from personas.demonstrations import read_demonstrations
from personas.descriptions import read_persona_descriptions
from personas.traits import BIG_FIVE
from tests.traits import evaluate

BUILT_IN = Path(__file__).resolve().parents[3] / "assets"


def test_published_descriptions_are_of_both_ends_of_every_trait(data_dir):
    texts = read_persona_descriptions(data_dir / "personality_bench" / "description.json")
    assert set(texts) == {(trait, sign) for trait in BIG_FIVE for sign in (1, -1)}
    assert all(len(of_pole) > 50 for of_pole in texts.values())


@pytest.mark.filterwarnings("ignore:.*Neuroticism.json is missing")
@pytest.mark.parametrize("method", ["simple_prompt", "description", "ike"])
def test_published_questions_run_through(data_dir, tmp_path, method):
    bench = data_dir / "personality_bench"
    steering = {
        "simple_prompt": SimplePrompt(),
        "description": DescriptionPrompt(str(bench / "description.json")),
        "ike": IKE(str(BUILT_IN / "data" / "demonstrations" / "demonstrations.json")),
    }[method]
    model = BUILT_IN / "tiny-ocean"
    data = PersonalityBenchDataModule(LMSpec(str(model)), str(bench), questions=1)
    rows = evaluate(model, data, tmp_path, [steering], max_new_tokens=16)
    assert rows["words"]["method"] == method and rows["words"]["n"] >= 4
    kept = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text("utf-8").splitlines()]
    assert len(kept) == 2 * rows["words"]["n"] and all(record["samples"][0]["persona"] for record in kept)


def test_published_opinions_are_shown_as_examples(data_dir, tmp_path):
    edits = data_dir / "personality_edit"
    assert len(read_demonstrations(edits / "train.json")) > 1000
    model = BUILT_IN / "tiny-ocean"
    data = EditDataModule(LMSpec(str(model)), str(edits), limit=2)
    rows = evaluate(model, data, tmp_path, [IKE(str(edits / "train.json"), count=2)])
    assert rows["edit_success"]["n"] == 2 and rows["drawdown"]["value"] > 0
