"""Steering that spares prompts: they are computed once for all that steers them, and the results stay the same."""

from __future__ import annotations

import pytest
import torch

from interventions.applied import applied
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.places import places_of
from lm.passes import Steering
from lm.scoring import choose, log_likelihood
from tests.models import ARCHITECTURES, byte_tokenizer, random_model

QUESTIONS = ["Is it you? I sing.", "Is it you? I often worry about the cat.", "Hm?"]
OPTIONS = ["A", "B", "either of them"]
PEOPLE = 3


def asked(system=""):
    head = [{"role": "system", "content": system}] if system else []
    chats = [[*head, {"role": "user", "content": text}] for text in QUESTIONS]
    return [chat for _ in range(PEOPLE) for chat in chats], [row for row in range(PEOPLE) for _ in chats]


def steering(model, keys, spares):
    places = places_of(model)
    sites = places.sites
    generator = torch.Generator().manual_seed(3)
    vectors = {k: torch.randn(PEOPLE, sites.num_heads, sites.head_dim, generator=generator) for k in places.layers}
    shift = Limited(ShiftHeads(places, vectors), positions="last")
    return Steering(lambda rows: applied(model, shift.for_pass(rows)), keys, spares_prompts=spares)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("system", ["", "You answered: " + "Sing. A " * 60])
def test_the_choices_are_those_of_prompts_computed_one_by_one(arch, system):
    model, tokenizer = random_model(arch), byte_tokenizer()
    chats, keys = asked(system)
    options = [OPTIONS] * len(chats)
    found = [
        choose(model, tokenizer, chats, options, batch_size=rows, steering=steering(model, keys, spares))
        for rows, spares in ((1, False), (4, False), (4, True), (2, True))
    ]
    for other in found[1:]:
        torch.testing.assert_close(other.log_probs, found[0].log_probs, rtol=1e-4, atol=1e-5)
    unsteered = choose(model, tokenizer, chats, options, batch_size=4)
    assert (unsteered.log_probs - found[0].log_probs).abs().max() > 1e-3


def test_the_prompt_is_run_once_and_its_last_token_for_everybody():
    model, tokenizer = random_model("llama"), byte_tokenizer()
    chats, keys = asked()
    widths = []

    def note(_module, _args, kwargs):
        widths.append(tuple(kwargs["input_ids"].shape))

    handle = model.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    choose(model, tokenizer, chats, [["A", "B"]] * len(chats), batch_size=16, steering=steering(model, keys, True))
    handle.remove()
    (bodies, width), last = widths
    assert bodies == len(QUESTIONS) and width > 1
    assert last == (len(chats), 1)


def test_whole_continuations_are_steered_too():
    model, tokenizer = random_model("llama"), byte_tokenizer()
    chats, keys = asked()
    texts = ["I sing all day"] * len(chats)
    one, other = (
        log_likelihood(model, tokenizer, chats, texts, batch_size=3, steering=steering(model, keys, spares)).total
        for spares in (False, True)
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    plain = log_likelihood(model, tokenizer, chats, texts, batch_size=3).total
    assert (plain - one).abs().max() > 1e-2
