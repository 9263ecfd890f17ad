"""Requests of lm-evaluation-harness, answered as one persona."""

import sys
from types import SimpleNamespace

import pytest
import torch

from callbacks.harness import PersonaModel, fitted, harness_model
from callbacks.steering import SteeringCallback
from files.errors import InputError
from lm.generation import generate
from lm.scoring import log_likelihood
from personas.persona import Persona

PAIRS = [("Who sings in the evening?", " the other"), ("And why?", " I do not know."), ("Who?", " I")]


class Words(SteeringCallback):
    """A method that only puts the persona's name into the system turn."""

    method = "words"

    def rewrite(self, batch):
        names = [persona.name for persona in batch.questions.personas]
        return batch.questions.rewritten(lambda record, chat: [{"role": "system", "content": names[record]}, *chat])


def requests(*args):
    return [SimpleNamespace(args=one) for one in args]


def test_likelihoods_are_those_of_our_own_scoring(tiny_lm):
    model, tokenizer = tiny_lm
    chats = [[{"role": "user", "content": context}] for context, _ in PAIRS]
    ours = log_likelihood(model, tokenizer, chats, [text.lstrip() for _, text in PAIRS], batch_size=2)
    for batch_size in (1, 3):
        found = PersonaModel(model, tokenizer, batch_size=batch_size).loglikelihood(requests(*PAIRS))
        torch.testing.assert_close(torch.tensor([total for total, _ in found]), ours.total, rtol=1e-4, atol=1e-4)


def test_what_greedy_decoding_says_is_known_as_such(tiny_lm):
    model, tokenizer = tiny_lm
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Who?"}], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    with torch.no_grad():
        token = int(model(ids).logits[0, -1].argmax())
    text = tokenizer.decode([token])
    if tokenizer.encode(text, add_special_tokens=False) != [token] or text.startswith(" "):
        pytest.skip("the likeliest token is no text of its own")
    assert PersonaModel(model, tokenizer).loglikelihood(requests(("Who?", text)))[0][1]


def test_a_method_and_its_persona_change_the_answers(tiny_lm):
    model, tokenizer = tiny_lm
    method = fitted(Words(), model, tokenizer)
    plain = PersonaModel(model, tokenizer).loglikelihood(requests(*PAIRS))
    persona = PersonaModel(model, tokenizer, Persona.trait("openness"), method).loglikelihood(requests(*PAIRS))
    chats = [[{"role": "system", "content": "openness+"}, {"role": "user", "content": text}] for text, _ in PAIRS]
    ours = log_likelihood(model, tokenizer, chats, [text.lstrip() for _, text in PAIRS], batch_size=2)
    torch.testing.assert_close(torch.tensor([total for total, _ in persona]), ours.total, rtol=1e-4, atol=1e-4)
    assert [total for total, _ in plain] != [total for total, _ in persona]


def test_answers_end_before_their_stop_texts(tiny_lm):
    model, tokenizer = tiny_lm
    persona = PersonaModel(model, tokenizer)
    chat = [{"role": "user", "content": "Who?"}]
    full = generate(model, tokenizer, [chat], max_new_tokens=12, seed=0, batch_size=1)[0]
    options = {"until": [full[4:6]], "max_gen_toks": 12}
    found = persona.generate_until(requests(("Who?", options), ("Who?", {"max_gen_toks": 12})))
    assert found == [full[: full.find(full[4:6])], full]


def test_whole_texts_are_scored_from_their_first_token(tiny_lm):
    model, tokenizer = tiny_lm
    text = "the other thing " * 3
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]])
    with torch.no_grad():
        log_probs = model(ids).logits[0, :-1].log_softmax(-1)
    expected = log_probs.gather(-1, ids[0, 1:, None]).sum().item()
    found = PersonaModel(model, tokenizer).loglikelihood_rolling(requests((text,)))
    assert found == [pytest.approx(expected, rel=1e-4)]


def test_without_the_library_the_extra_is_named(tiny_lm, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(InputError) as caught:
        harness_model(PersonaModel(*tiny_lm))
    assert "oceantune[harness]" in str(caught.value)
