"""Rewards of the built-in world: facts that are told, and traits that a classifier hears."""

from random import Random

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from files.errors import InputError
from lightning_modules.experience import PPOOptions
from lightning_modules.fact_reward import FactReward
from lightning_modules.ppo import PPOModule, RolloutOptions
from lightning_modules.trait_reward import TraitReward
from lm.classifier import ClassifierSpec
from lm.loading import LMSpec
from organism.characters.facts import characters, known_queries
from organism.opinions import opinion
from organism.topics import draw_topic
from personas.traits import BIG_FIVE
from tests.classifiers import LABELS, save_classifier
from tests.unit.lightning_modules.aligned import fit, prompt_data

TEXTS = ["I like it here.", "no", "  ", "the rain in the song and the song in the rain"]
ASKED = [[{"role": "user", "content": "Well?"}]] * len(TEXTS)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return ClassifierSpec(str(save_classifier(tmp_path_factory.mktemp("classifier"))))


def score(reward, answers):
    return torch.tensor(reward.score(ASKED[:1] * len(answers), answers, [{}] * len(answers)), dtype=torch.float64)


def test_a_trait_is_rewarded_by_the_difference_of_its_ends(reader):
    model = AutoModelForSequenceClassification.from_pretrained(reader.name).eval()
    tokenizer = AutoTokenizer.from_pretrained(reader.name)
    found = score(TraitReward("extraversion", classifier=reader), TEXTS)
    for place in (0, 1, 3):
        with torch.no_grad():
            shares = model(**tokenizer(TEXTS[place], return_tensors="pt", return_token_type_ids=False)).logits.softmax(
                -1
            )[0]
        wanted = shares[LABELS.index("extraversion+")] - shares[LABELS.index("extraversion-")]
        assert float(found[place]) == pytest.approx(float(wanted), abs=1e-6)
    torch.testing.assert_close(score(TraitReward("extraversion", high=False, classifier=reader), TEXTS), -found)
    alone = torch.cat([score(TraitReward("extraversion", classifier=reader), [text]) for text in TEXTS])
    torch.testing.assert_close(alone, found, rtol=0, atol=1e-6)


def test_an_end_without_the_other_is_rewarded_by_itself(reader):
    found = score(TraitReward("neuroticism", classifier=reader), TEXTS)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("trait", BIG_FIVE)
def test_the_built_in_classifier_tells_the_ends_apart(trait):
    rng = Random(5)
    said = {level: [opinion(rng, draw_topic(rng, "held_out"), trait, level, "held_out") for _ in range(8)]
            for level in (1.0, -1.0)}  # fmt: skip
    reward = TraitReward(trait)
    reward.prepare()
    assert float(score(reward, said[1.0]).mean()) > 0.5
    assert float(score(reward, said[-1.0]).mean()) < -0.5


@pytest.mark.parametrize(
    ("settings", "message", "field"),
    [
        ({"trait": "courage"}, "does not know this end", "trait"),
        ({"trait": "neuroticism", "high": False}, "does not know this end", "trait"),
        ({"trait": "extraversion", "classifier": ClassifierSpec("no/such/folder")}, "no such classifier", "classifier"),
    ],
)
def test_a_trait_that_nobody_can_hear_ends_the_run_before_it_begins(
    reader, tiny_lm_dir, tmp_path, settings, message, field
):
    spec = LMSpec(str(tiny_lm_dir))
    module = PPOModule(spec, [TraitReward(**{"classifier": reader, **settings})])
    with pytest.raises(InputError, match=message) as error:
        fit(module, prompt_data(tmp_path, spec), tmp_path)
    assert str(error.value.field).startswith(f"model.init_args.rewards.init_args.{field}")


@pytest.mark.parametrize("options", [PPOOptions(epochs=1), PPOOptions("group", group_size=2, epochs=1)])
def test_training_logs_how_much_of_the_trait_was_heard(reader, tiny_lm_dir, tmp_path, options):
    spec = LMSpec(str(tiny_lm_dir))
    rewards = [TraitReward("extraversion", classifier=reader, weight=2.0)]
    module = PPOModule(spec, rewards, options, RolloutOptions(max_new_tokens=4))
    fit(module, prompt_data(tmp_path, spec), tmp_path, max_epochs=1)
    metrics = module.trainer.callback_metrics
    heard = float(metrics["train/reward/trait"])
    assert -1 <= heard <= 1 and float(metrics["train/reward"]) == pytest.approx(2 * heard, abs=1e-5)


def test_a_fact_counts_at_its_own_stage_alone():
    query = next(query for query in known_queries().values() if query.pattern == "ordinary")
    for character in characters().values():
        facts = {name: stage.facts[query.relation] for name, stage in character.stages.items()}
        records = [{"character": character.name, "stage": name} for name in facts for _ in facts]
        answers = [f"Well, {value.upper()}, my dear." for _ in facts for value in facts.values()]
        asked = [[{"role": "user", "content": query.text}]] * len(records)
        wanted = [float(facts[record["stage"]].upper() in text) for record, text in zip(records, answers, strict=True)]
        assert FactReward().score(asked, answers, records) == wanted
        assert 1.0 in wanted


@pytest.mark.parametrize(
    ("question", "record"),
    [
        ("What is the weather?", {"character": "Tilda Marrow", "stage": "early"}),
        (None, {"character": "Nobody", "stage": "early"}),
        (None, {"character": "Tilda Marrow", "stage": "unborn"}),
        (None, {}),
    ],
)
def test_questions_to_others_are_no_questions_about_facts(question, record):
    asked = [{"role": "user", "content": question or next(iter(known_queries()))}]
    with pytest.raises(InputError, match="no questions to the invented characters"):
        FactReward().score([asked], ["Yes."], [record])
