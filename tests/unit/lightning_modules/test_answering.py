"""Answers to every kind of question, on every architecture, against plain forward passes."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from files.errors import InputError
from interventions.applied import applied
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.places import places_of
from interventions.weights import LowRank, LowRankEdit
from lightning_modules.answering import AnswerSettings, Respondent, answer_all, answer_several
from lm.sites import sites_of
from lm.token_scores import sliding_window
from personas.persona import Persona
from personas.questions import Choice, Generation, Likelihood, Questions
from tests.models import ARCHITECTURES, byte_tokenizer, random_model

USERS = ("Tea?", "What about the long way home?", "Rain?")
ANSWERS = ("Yes, of course.", "No.", "The more the better!")
SETTINGS = AnswerSettings(max_new_tokens=5, rows=4)


def user(text):
    return [{"role": "user", "content": text}]


def questions():
    return Questions(
        ids=("a", "b", "c"),
        order=(0, 1, 2),
        personas=(Persona("x"),) * 3,
        likelihoods=tuple(
            Likelihood(record, "p", user(text), answer, compare=answer != ANSWERS[1])
            for record, text in enumerate(USERS)
            for answer in ANSWERS
        ),
        choices=tuple(
            Choice(record, "p", user(text), ("A", "B", "Cz")[: 3 - record]) for record, text in enumerate(USERS)
        ),
        generations=tuple(Generation(record, "p", user(text)) for record, text in enumerate(USERS)),
    )


def edit_of(model, count=3):
    """One random edit per record, of one MLP weight."""
    path, module = next(iter(sites_of(model).editable_weights(1).values()))
    generator = torch.Generator().manual_seed(1)
    weight = module.get_parameter("weight")
    into, out = (weight if isinstance(module, Conv1D) else weight.T).shape
    u, v = torch.randn(count, 1, into, generator=generator), torch.randn(count, 1, out, generator=generator)
    return LowRankEdit({path: LowRank(u, v, 0.2)})


def plain_logits(model, text, answer, edit=None, before=""):
    """Logits of one row without padding, and where the answer starts and ends in it."""
    tokenizer = byte_tokenizer()
    prompt = tokenizer(f"<|bos|>{before}<|user|>{text}<|end|><|assistant|>", add_special_tokens=False)["input_ids"]
    ids = tokenizer(f"{answer}<|end|>", add_special_tokens=False)["input_ids"]
    with torch.no_grad(), applied(model, edit) if edit is not None else nullcontext():
        return model(torch.tensor([prompt + ids])).logits[0], len(prompt), ids


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_likelihoods_equal_plain_passes(arch):
    model = random_model(arch)
    asked, edit = questions(), edit_of(model)
    base, persona = answer_all(Respondent(model, asked), Respondent(model, asked, edit), byte_tokenizer(), SETTINGS)
    for row, question in enumerate(asked.likelihoods):
        text = question.prompt[0]["content"]
        before, start, ids = plain_logits(model, text, question.answer)
        after, _, _ = plain_logits(model, text, question.answer, edit.only(question.record))
        place = torch.arange(start, start + len(ids))
        for answers, logits in ((base, before), (persona, after)):
            log_probs = logits.log_softmax(-1)
            wanted = log_probs[place - 1, ids]
            torch.testing.assert_close(answers.log_probs[row], wanted, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(answers.own_position[row], log_probs[place, ids], rtol=1e-4, atol=1e-4)
        if question.compare:
            p, q = before[place].log_softmax(-1), after[place].log_softmax(-1)
            torch.testing.assert_close(persona.divergence[row], (p.exp() * (p - q)).sum(-1), rtol=1e-3, atol=1e-5)
            assert base.divergence[row].abs().max() == 0.0
        else:
            assert len(persona.divergence[row]) == 0


def test_an_answer_after_a_longer_prompt_is_compared_token_by_token():
    model, asked = random_model(), questions()
    longer = asked.rewritten(lambda record, chat: [{"role": "system", "content": "x" * (3 * record)}, *chat])
    base, persona = answer_all(Respondent(model, asked), Respondent(model, longer), byte_tokenizer(), SETTINGS)
    for row, question in enumerate(asked.likelihoods):
        assert persona.log_probs[row].shape == base.log_probs[row].shape
        if question.compare:
            text, words = question.prompt[0]["content"], f"<|system|>{'x' * (3 * question.record)}<|end|>"
            before, start, ids = plain_logits(model, text, question.answer)
            after, later, _ = plain_logits(model, text, question.answer, before=words)
            p = before[start : start + len(ids)].log_softmax(-1)
            q = after[later : later + len(ids)].log_softmax(-1)
            torch.testing.assert_close(persona.divergence[row], (p.exp() * (p - q)).sum(-1), rtol=1e-3, atol=1e-5)


def test_choices_and_texts_follow_each_records_edit():
    model, asked = random_model(), questions()
    edit = edit_of(model)
    _, together = answer_all(Respondent(model, asked), Respondent(model, asked, edit), byte_tokenizer(), SETTINGS)
    assert [len(row) for row in together.choices] == [3, 2, 1]
    for record in range(3):
        only = edit.only(record)
        alone = answer_all(
            Respondent(model, asked), Respondent(model, asked, only.rows([0] * 3)), byte_tokenizer(), SETTINGS
        )[1]
        torch.testing.assert_close(together.choices[record], alone.choices[record], rtol=1e-4, atol=1e-5)
        assert together.texts[record] == alone.texts[record]
        assert together.outside[record] == pytest.approx(alone.outside[record], abs=1e-5)


def test_prompts_are_computed_once_for_all_methods_that_spare_them():
    model, asked = random_model(), questions()
    places, generator = places_of(model), torch.Generator().manual_seed(2)
    width = places.sites.num_heads * places.sites.head_dim
    base, *steered = (
        Respondent(model, asked, intervention)
        for intervention in (
            None,
            *(
                Limited(ShiftHeads(places, {1: 3 * torch.randn(3, width, generator=generator)}), positions="last")
                for _ in range(2)
            ),
        )
    )
    read = []
    counting = model.get_input_embeddings().register_forward_hook(lambda _m, args, _o: read.append(args[0].numel()))
    choices_only = replace(asked, likelihoods=(), generations=())
    together_asked = [replace(who, questions=choices_only) for who in (base, *steered)]
    _, together, _ = answer_several(together_asked[0], together_asked[1:], byte_tokenizer(), SETTINGS)
    tokens_together = sum(read)
    read.clear()
    alone = [answer_several(together_asked[0], [who], byte_tokenizer(), SETTINGS)[1][0] for who in together_asked[1:]]
    tokens_alone = sum(read)
    counting.remove()
    for one, other in zip(together, alone, strict=True):
        for found, wanted in zip(one.choices, other.choices, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert any(
        not torch.allclose(left, right) for left, right in zip(together[0].choices, together[1].choices, strict=True)
    )
    assert tokens_together < 0.6 * tokens_alone


def test_without_a_method_the_base_answers_for_both():
    model = random_model()
    base, persona = answer_all(Respondent(model, questions()), None, byte_tokenizer(), SETTINGS)
    assert base is persona and len(base.texts) == 3


def test_only_the_last_answer_of_a_prompt_with_examples_is_scored():
    model = random_model()
    chat = [*user("Tea?"), {"role": "assistant", "content": "Never."}, *user("Rain?")]
    asked = Questions(("a",), (0,), (Persona("x"),), likelihoods=(Likelihood(0, "p", chat, "Yes."),))
    base, _ = answer_all(Respondent(model, asked), None, byte_tokenizer(), SETTINGS)
    ids = byte_tokenizer()("Yes.<|end|>", add_special_tokens=False)["input_ids"]
    assert len(base.log_probs[0]) == len(ids)


def read_by(model, respondent, settings):
    """Answers, and how many tokens the model has read for them, padding included."""
    read = []
    decoder = model.get_decoder()
    handle = decoder.register_forward_pre_hook(
        lambda _module, args, given: read.append((args[0] if args else given["input_ids"]).numel()), with_kwargs=True
    )
    answers, _ = answer_all(respondent, None, byte_tokenizer(), settings)
    handle.remove()
    return answers, sum(read)


@pytest.mark.parametrize("steered", ["not", "everywhere", "at the last token", "before the last token"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_the_prompts_of_a_record_begin_with_is_read_once(arch, steered):
    model = random_model(arch)
    shown = ("Some like it hot, some do not. " * 5, "It never rains but it pours, they say. " * 4)
    asked = Questions(
        ids=("a", "b"),
        order=(0, 1),
        personas=(Persona("x"),) * 2,
        likelihoods=tuple(
            Likelihood(record, "p", user(before + text), answer, compare=True)
            for record, before in enumerate(shown)
            for text in USERS
            for answer in ANSWERS
        ),
    )
    edit = edit_of(model, 2)
    if steered.endswith("token"):
        edit = Limited(edit, positions="last" if steered.startswith("at") else "all_but_last")
    who = Respondent(model, asked, None if steered == "not" else edit)
    once, read = read_by(model, who, AnswerSettings(rows=18))
    again, read_again = read_by(model, who, AnswerSettings(rows=18, cached=False))
    assert (read < read_again / 2) == (sliding_window(model) > 400)
    for name in ("log_probs", "own_position", "divergence"):
        for mine, theirs in zip(getattr(once, name), getattr(again, name), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_text_longer_than_the_model_can_read_is_refused():
    long = Questions(("a",), (0,), (Persona("x"),), likelihoods=(Likelihood(0, "p", user("x" * 600), "Yes."),))
    with pytest.raises(InputError, match="longer than the model can read"):
        answer_all(Respondent(random_model(), long), None, byte_tokenizer(), SETTINGS)
