"""IKE: the layout of its examples, whom they show, and metrics with the plain and the longer prompt side by side."""

import json

import pytest
import torch

from callbacks.ike import IKE, RandomDemonstrations
from datamodules.personality_edit import EditDataModule
from datamodules.trait import TraitDataModule
from files.errors import InputError
from lm.chat import encode_chats, pad_encoded
from lm.loading import LMSpec, load_model, load_tokenizer
from metrics.edit_success import edit_success_icl
from personas.persona import Persona
from personas.traits import BIG_FIVE
from tests.editing import write_edit_data
from tests.traits import evaluate, write_demonstrations, write_trait

# A random model says anything, and nothing about personality.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]


def ready(tmp_path, kind=IKE, **options):
    method = kind(str(write_demonstrations(tmp_path / "shown.json")), **{"count": 2, **options})
    method.fit()
    return method


@pytest.fixture
def edits(tiny_lm_dir, tmp_path):
    data = EditDataModule(LMSpec(str(tiny_lm_dir)), str(write_edit_data(tmp_path / "edit")), batch_size=2)
    data.setup("test")
    return data


def test_the_published_layout_with_the_target_and_without_it_elsewhere(edits, tmp_path):
    asked = edits.batchers["test"].batch([0])
    rewritten = ready(tmp_path).rewrite(asked)
    trait, topic, other = asked.records[0].target, asked.records[0].topic, asked.records[0].locality_topic
    for before, after in zip(asked.questions.likelihoods, rewritten.likelihoods, strict=True):
        [turn] = after.prompt
        *shown, last = turn["content"].split("\n\n")
        assert len(shown) == 2
        for example in shown:
            head, about, question, answer = example.split("\n")
            assert head == f"Target personality: {trait}" and about.startswith("Topic: Thing ")
            assert question.startswith("Question: ") and answer.startswith(f"Answer: {trait} ")
        elsewhere = before.part == "elsewhere"
        named = [] if elsewhere else [f"Target personality: {trait}"]
        asks = before.prompt[0]["content"]
        assert last.split("\n") == [*named, f"Topic: {other if elsewhere else topic}", f"Question: {asks}", "Answer:"]
        assert after.answer == before.answer
    first = [question.prompt[0]["content"].rsplit("\n\n", 1)[0] for question in rewritten.likelihoods]
    assert len(set(first)) == 1  # one record's questions stand after the same examples


def test_examples_never_are_about_what_is_asked(edits, tmp_path):
    method = ready(tmp_path, count=5)
    topic = edits.batchers["test"].records[0].topic
    path = write_demonstrations(tmp_path / "shown.json")
    records = json.loads(path.read_text())
    records[0]["ent"] = topic.upper()
    path.write_text(json.dumps(records))
    method = IKE(str(path), count=5)
    method.fit()
    for question in method.rewrite(edits.batchers["test"].batch([0])).generations:
        assert question.prompt[0]["content"].count(f"Topic: {topic.upper()}\n") == 0
    crowded = IKE(str(path), count=6)
    crowded.fit()
    with pytest.raises(InputError, match="too few topics"):
        crowded.rewrite(edits.batchers["test"].batch([0]))


@pytest.mark.parametrize("turns", [False, True])
def test_other_questions_follow_the_examples_as_they_are(tmp_path, turns):
    data = TraitDataModule(LMSpec("none"), str(write_trait(tmp_path)), answer_prefix="I take ")
    data.setup("test")
    asked = data.batch([0, 1])
    rewritten = ready(tmp_path, turns=turns).rewrite(asked)
    for before, after in zip(asked.questions.choices, rewritten.choices, strict=True):
        pole = "openness" if before.record == 0 else "openness_reversed"
        assert after.prompt[-1]["role"] == "assistant" and after.prompt[-1]["content"] == "I take "
        question = before.prompt[0]["content"]
        if turns:
            assert [turn["role"] for turn in after.prompt] == ["user", "assistant"] * 3
            assert all(turn["content"].startswith(f"{pole} ") for turn in after.prompt[1:5:2])
            assert after.prompt[-2]["content"] == question
        else:
            assert after.prompt[0]["content"].endswith(f"\n\n{question}")
            assert after.prompt[0]["content"].count(f"Answer: {pole} ") == 2
            assert after.prompt[0]["content"].count("Target personality: openness") == (2 if before.record == 0 else 0)


def test_random_examples_are_of_any_trait_and_name_no_target(tmp_path):
    data = TraitDataModule(LMSpec("none"), str(write_trait(tmp_path)))
    data.setup("test")
    text = "".join(
        question.prompt[0]["content"]
        for question in ready(tmp_path, RandomDemonstrations).rewrite(data.batch(range(16))).choices
    )
    assert all(f"Answer: {trait} " in text and f"Answer: {trait}_reversed " in text for trait in BIG_FIVE)
    assert "Target personality" not in text


def test_it_says_whom_it_can_express(tmp_path):
    method = ready(tmp_path)
    assert method.refusal(Persona.trait("neuroticism", -1)) is None and method.refusal(Persona.trait("trust")) is None
    assert "Openness_reversed" in method.refusal(Persona.trait("narcissism"))
    assert ready(tmp_path, RandomDemonstrations).refusal(Persona.trait("narcissism")) is None


def test_edit_success_is_that_of_both_prompts_side_by_side(tiny_lm_dir, edits, tmp_path):
    """Against the formula on whole logits: plain prompts before, examples and longer prompts after, no windows."""
    method = ready(tmp_path)
    evaluate(tiny_lm_dir, edits, tmp_path / "run", [method])
    lines = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text("utf-8").splitlines()]
    model, tokenizer = load_model(LMSpec(str(tiny_lm_dir))), load_tokenizer(LMSpec(str(tiny_lm_dir)))
    asked = edits.batchers["test"].batch([0])
    plain, longer = asked.questions, method.rewrite(asked)
    sides = []
    for questions in (plain, longer):
        rows = [question for question in questions.likelihoods if question.part != "elsewhere"]
        chats = [[*question.prompt, {"role": "assistant", "content": question.answer}] for question in rows]
        tokens = pad_encoded(encode_chats(tokenizer, chats), tokenizer.pad_token_id)
        with torch.no_grad():
            logits = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
        sides += [logits, tokens.input_ids, tokens.answer_mask]
    same = torch.tensor([question.part == "target" for question in plain.likelihoods if question.part != "elsewhere"])
    for variant, name in (("next_token", "edit_success"), ("as_released", "edit_success_as_released")):
        wanted = edit_success_icl(*sides, same, variant=variant).es.item()
        assert lines[0]["values"][name] == pytest.approx(wanted, rel=1e-4)
    assert lines[0]["values"]["drawdown"] > 0
