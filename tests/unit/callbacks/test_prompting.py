"""Prompt methods: what stands in the system turn, whom they can express, and what they leave behind."""

import json

import pytest
from lightning.pytorch import Callback

from callbacks.prompting import BackgroundPrompt, DescriptionPrompt, SimplePrompt
from callbacks.steering import SteeringCallback
from datamodules.papi import PapiDataModule
from datamodules.personality_bench import PersonalityBenchDataModule
from datamodules.trait import TraitDataModule
from files.errors import InputError
from lm.loading import LMSpec
from personas.persona import Persona
from personas.questions import Choice, Generation, QuestionBatch, Questions
from personas.traits import BIG_FIVE, TRAITS
from tests.papi import write_papi
from tests.traits import evaluate, write_bench, write_descriptions, write_trait

# A random model says anything, and nothing about personality.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]

SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tea?"}]


def batch(*personas):
    records = range(len(personas))
    return QuestionBatch(
        Questions(
            tuple(f"q{record}" for record in records),
            tuple(records),
            personas,
            choices=tuple(Choice(record, "p", SYSTEM, ("A", "B")) for record in records),
            generations=tuple(Generation(record, "p", SYSTEM[1:]) for record in records),
        )
    )


def systems(questions):
    return [question.prompt[0]["content"] for question in (*questions.choices, *questions.generations)]


def test_adjectives_of_every_trait_and_level_stand_before_every_question():
    method = SimplePrompt(frame="Remember: {description}")
    method.fit()
    wanted = [Persona.trait(trait, level) for trait in TRAITS for level in (1, 0.5, -0.5, -1)]
    rewritten = method.rewrite(batch(*wanted))
    assert len(set(systems(rewritten))) == len(wanted)
    for text in systems(rewritten):
        assert text.startswith("Remember: You are ")
    assert [turn["role"] for turn in rewritten.choices[0].prompt] == ["system", "user"]
    assert method.refusal(Persona("someone")) is not None


def test_descriptions_are_drawn_anew_for_each_record_and_the_same_again(tmp_path):
    file = str(write_descriptions(tmp_path / "d.json", count=9))
    asked = batch(*[Persona.trait("openness")] * 8, *[Persona.trait("openness", -1)] * 8)
    drawn = []
    for seed in (0, 0, 1):
        method = DescriptionPrompt(file, seed)
        method.fit()
        drawn.append(systems(method.rewrite(asked)))
    assert drawn[0] == drawn[1] != drawn[2]
    assert all("Openness " in text for text in drawn[0][:8]) and all("_reversed" in text for text in drawn[0][8:16])
    assert len(set(drawn[0][:8])) > 1 and drawn[0][:16] == drawn[0][16:]


def test_a_background_by_attributes_or_as_a_text():
    asked = batch(Persona("nobody"))
    for method, wanted in (
        (BackgroundPrompt({"Age": "young", "Pet": "You own a cat."}), "You are still young. You own a cat."),
        (BackgroundPrompt(text="You live on a boat."), "You live on a boat."),
    ):
        method.fit()
        assert systems(method.rewrite(asked)) == [wanted, wanted]
    assert method.refusal(Persona.trait("openness")) and method.refusal(Persona("nobody")) is None


@pytest.mark.parametrize(
    "options", [{}, {"attributes": {"Age": "blue"}}, {"attributes": {"Age": "young"}, "text": "Hi."}]
)
def test_a_background_that_is_none_is_refused(options):
    with pytest.raises(InputError, match="is no background"):
        BackgroundPrompt(**options).fit()


def test_a_persona_that_cannot_be_expressed_is_refused_before_the_first_question(tiny_lm_dir, tmp_path):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")))
    method = DescriptionPrompt(str(write_descriptions(tmp_path / "d.json", without="Neuroticism_reversed")))
    with pytest.raises(InputError, match="the method description cannot express the persona 'neuroticism-'") as fault:
        evaluate(tiny_lm_dir, data, tmp_path / "run", [method])
    assert "it has none of Neuroticism_reversed" in fault.value.expected and "d.json" in fault.value.expected
    assert not (tmp_path / "run" / "results.json").exists() and not list(tmp_path.rglob("part-*.jsonl"))


class Stop(Callback):
    """Fails in the middle of a batch, after the plan was made."""

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.module = pl_module
        assert pl_module._plans
        raise RuntimeError("stopped")


class Empty(SteeringCallback):
    method = "empty"


def test_nothing_is_left_planned_when_a_batch_fails(tiny_lm_dir, tmp_path):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")))
    stop = Stop()
    with pytest.raises(RuntimeError, match="stopped"):
        evaluate(tiny_lm_dir, data, tmp_path / "run", [SimplePrompt(), stop])
    assert stop.module._plans == {}
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in stop.module.lm.modules())


@pytest.mark.parametrize("method", [SimplePrompt, Empty])
def test_trait_scores_under_a_prompt(tiny_lm_dir, tmp_path, method):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")))
    rows = evaluate(tiny_lm_dir, data, tmp_path / "run", [method()])
    moved = [row for row in rows.values() if row["metric"].startswith("high_probability/")]
    changed = [row["value"] != pytest.approx(row["base_value"], rel=1e-9) for row in moved]
    assert rows["trait_score"]["method"] == method.method
    assert any(changed) if method is SimplePrompt else not any(changed)


def test_free_answers_and_people_under_a_prompt(tiny_lm_dir, tmp_path):
    spec = LMSpec(str(tiny_lm_dir))
    file = str(write_bench(tmp_path / "bench", 1) / "description.json")
    free = PersonalityBenchDataModule(spec, str(tmp_path / "bench"), traits=BIG_FIVE[:2])
    rows = evaluate(tiny_lm_dir, free, tmp_path / "free", [DescriptionPrompt(file)])
    assert rows["changed_rate"]["value"] > 0
    people = PapiDataModule(spec, str(write_papi(tmp_path / "papi", people=3)))
    rows = evaluate(tiny_lm_dir, people, tmp_path / "people", [SimplePrompt()])
    assert rows["alignment_error"]["method"] == "simple_prompt" and rows["alignment_error"]["n"] == 3
    kept = [json.loads(line) for line in (tmp_path / "people" / "records.jsonl").read_text("utf-8").splitlines()]
    assert any(record["values"] != record["base"] for record in kept)
