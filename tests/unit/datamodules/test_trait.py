"""TRAIT: items, layouts, orders, and likelihoods that do not depend on how a tokenizer writes a letter."""

import json
from pathlib import Path

import pytest
import torch

from datamodules.trait import TraitDataModule
from datamodules.trait_items import read_trait_items
from files.errors import InputError
from lm.loading import LMSpec
from lm.scoring import choose
from personas.traits import TRAITS
from tests.models import byte_tokenizer, random_model
from tests.traits import evaluate, trait_record, write_trait

# A random model says anything, and nothing about personality.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]


def module(data, **options):
    made = TraitDataModule(LMSpec("none"), str(data), **options)
    made.setup("test")
    return made


def test_every_item_in_every_layout_order_and_level(tmp_path):
    data = module(write_trait(tmp_path), batch_size=3)
    batches = list(data.test_dataloader())
    assert [len(batch.questions) for batch in batches] == [3, 3, 3, 3, 3, 1]
    questions = data.batch(range(16)).questions
    assert len(set(questions.ids)) == 16 and len(questions.choices) == 16 * 3 * 2
    assert [who.name for who in questions.personas[:4]] == ["openness+", "openness-", "conscientiousness+"] + [
        "conscientiousness-"
    ]
    plain, reversed_order = (choice.prompt[0]["content"] for choice in questions.choices[:2])
    for text, options in ((plain, "high1 low1 high2 low2"), (reversed_order, "low1 high1 low2 high2")):
        for letter, name in zip("ABCD", options.split(), strict=True):
            assert f"{letter}. I {name[:-1]} 0 {name[-1]}." in text
    assert set(data.benchmark.traits.values()) == set(TRAITS)


def test_own_layouts_and_answers(tmp_path):
    layout = "{situation} / {query} / {A} / {B} / {C} / {D}"
    data = module(write_trait(tmp_path), layouts=[layout], answer="({letter})", answer_prefix="I take ", levels=[])
    [choice, _] = data.batch([0]).questions.choices
    assert choice.prompt[0]["content"] == "It is 0. / And now? / I high 0 1. / I low 0 1. / I high 0 2. / I low 0 2."
    assert choice.prompt[1] == {"role": "assistant", "content": "I take "}
    assert choice.options == ("(A)", "(B)", "(C)", "(D)")
    assert data.batch([0]).questions.personas[0].levels == {}


def test_a_limit_holds_for_each_trait_and_paraphrases_are_asked(tmp_path):
    records = [trait_record(n, paraphrased_situation=f"So {n}.", paraphrased_query="What?") for n in range(24)]
    (tmp_path / "mine.json").write_text(json.dumps(records), encoding="utf-8")
    data = module(tmp_path / "mine.json", limit=2, traits=["narcissism", "openness"], paraphrased=True)
    assert sorted(item.trait for item in data.items) == ["narcissism", "narcissism", "openness", "openness"]
    assert data.items[0].situation == "So 0." and data.data_files() == [tmp_path / "mine.json"]


def test_items_come_from_a_hub_data_set_with_a_split_per_trait(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    for number, name in enumerate(("train", "test")):
        (folder / f"{name}.jsonl").write_text(json.dumps(trait_record(number)), encoding="utf-8")
    data = module(f"hub:{folder}")
    assert sorted(item.trait for item in data.items) == ["conscientiousness", "openness"]
    assert data.data_files() == [] and data.settings()["source"] == f"hub:{folder}"


def plain_tokenizer():
    """Without a chat template: the answer's letter follows `assistant:` and a space."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    return tokenizer


def spaced_tokenizer():
    """A template that puts a space between its header and the answer."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ message['content'] + '<|end|>' }}", "{{ ' ' + message['content'] + '<|end|>' }}"
    )
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "before", "written"),
    [
        (byte_tokenizer(), "<|bos|><|user|>Q<|end|><|assistant|>", "{}"),
        (spaced_tokenizer(), "<|bos|><|user|>Q<|end|><|assistant|>", " {}"),
        (plain_tokenizer(), "user: Q\nassistant:", " {}"),
    ],
    ids=["letter", "template with a space", "no template"],
)
@pytest.mark.parametrize("answer", ["{}", "({})", "{} or so"])
def test_the_likelihood_of_a_letter_is_that_of_its_own_tokens(tokenizer, before, written, answer):
    """Also where all options begin with the same token, which then tells nothing."""
    model = random_model()
    options = [answer.format(letter) for letter in "ABCD"]
    got = choose(model, tokenizer, [[{"role": "user", "content": "Q"}]], [options], batch_size=4)
    prompt = tokenizer(before, add_special_tokens=False)["input_ids"]
    full = [tokenizer(before + written.format(option), add_special_tokens=False)["input_ids"] for option in options]
    assert all(ids[: len(prompt)] == prompt for ids in full)
    apart = next(place for place in range(len(prompt), 99) if len({ids[place] for ids in full}) > 1)
    with torch.no_grad():
        logits = model(torch.tensor([full[0][:apart]])).logits[0, -1].log_softmax(-1)
    wanted = logits[[ids[apart] for ids in full]]
    torch.testing.assert_close(got.log_probs[0], wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got.probabilities[0], wanted.softmax(-1), rtol=1e-4, atol=1e-5)


def test_the_figures_reach_the_results(tiny_lm_dir, tmp_path):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")))
    rows = evaluate(tiny_lm_dir, data, tmp_path / "run")
    for trait in TRAITS:
        assert rows[f"trait_score/{trait}+"]["persona"] == f"{trait}+"
        assert rows[f"trait_score/{trait}+"]["value"] == rows[f"trait_score/{trait}-"]["value"]
    assert rows["level_followed"]["value"] == 0.5 and rows["trait_score_range"]["value"] == 0.0
    assert rows["trait_score"]["n"] == 8 and rows["trait_score"]["persona"] == "all"
    assert rows["trait_score"]["ci_low"] <= rows["trait_score"]["value"] <= rows["trait_score"]["ci_high"]


def test_an_item_has_one_name_whichever_traits_are_asked_for(tmp_path):
    items = {}
    for traits in (["openness", "neuroticism"], ["neuroticism"]):
        for item in read_trait_items(write_trait(tmp_path), traits):
            assert items.setdefault(item.name, item) == item
    assert {item.trait for item in items.values()} == {"openness", "neuroticism"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"layouts": ["{situation} {query} {A} {B} {C}"]}, "{D}"),
        ({"layouts": []}, "layouts"),
        ({"levels": [0]}, "levels"),
        ({"traits": ["charm"]}, "traits"),
        ({"answer": "letter"}, "{letter}"),
        ({"limit": 0}, "at least 1"),
    ],
)
def test_options_that_mean_nothing_are_named(tmp_path, options, named):
    with pytest.raises(InputError) as fault:
        module(write_trait(tmp_path), **options)
    assert named in str(fault.value) and "next step" in str(fault.value)


def test_published_ids_are_in_the_shipped_settings():
    text = "".join(path.read_text() for path in Path("configs/eval").rglob("*.yaml"))
    for name in ("mirlab/TRAIT", "Chouoftears/LLM-Persona-Steering-Testset", "PAPI-300K", "PAPI-120-600K"):
        assert f"hub:{name}" in text or f"hub:WestlakeNLP/{name}" in text
