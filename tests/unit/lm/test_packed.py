"""Texts side by side in one row give what they give alone, with and without steering, on every architecture."""

from __future__ import annotations

import pytest
import torch

import lm.packed
from interventions.applied import applied
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.places import places_of
from lm.passes import Steering
from lm.scoring import choose
from tests.models import ARCHITECTURES, byte_tokenizer, random_model

PEOPLE = 2
TEXTS = ["Is it you? I sing.", "Is it you? I often worry about the cat.", "Hm?", "Is it you? I run."]


def asked():
    chats, keys = [], []
    for person in range(PEOPLE):
        system = {"role": "system", "content": f"Person {person}. " + "I sing. A " * 12}
        chats += [[system, {"role": "user", "content": text}] for text in TEXTS]
        keys += [person] * len(TEXTS)
    return chats, keys


def shift(model):
    places = places_of(model)
    generator = torch.Generator().manual_seed(3)
    shape = (PEOPLE, places.sites.num_heads, places.sites.head_dim)
    return ShiftHeads(places, {layer: torch.randn(shape, generator=generator) for layer in places.layers})


def steering(model, keys, kind):
    if kind == "none":
        return None
    intervention = shift(model) if kind == "all" else Limited(shift(model), positions="last")
    enter = lambda rows: applied(model, intervention.for_pass(rows))  # noqa: E731
    return Steering(enter, keys, spares_prompts=kind == "last", all_alike=kind == "all")


@pytest.mark.parametrize("kind", ["none", "all", "last"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_packed_choices_are_those_of_rows(arch, kind, monkeypatch):
    model, tokenizer = random_model(arch), byte_tokenizer()
    chats, keys = asked()
    options = [["A", "B"]] * len(chats)
    calls = []
    run = lm.packed.run_packed
    monkeypatch.setattr("lm.token_scores.run_packed", lambda *args, **more: calls.append(1) or run(*args, **more))
    found = []
    for long in (10**9, 8):
        monkeypatch.setattr(lm.packed, "_LONG", long)
        found.append(choose(model, tokenizer, chats, options, batch_size=8, steering=steering(model, keys, kind)))
        assert bool(calls) == (long == 8)
    torch.testing.assert_close(found[1].log_probs, found[0].log_probs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1].mass_outside, found[0].mass_outside, rtol=1e-4, atol=1e-5)


def test_a_row_is_cut_where_it_gets_too_wide(monkeypatch):
    model, tokenizer = random_model("llama"), byte_tokenizer()
    chats, _ = asked()
    options = [["A", "B"]] * len(chats)
    whole = choose(model, tokenizer, chats, options, batch_size=8)
    monkeypatch.setattr(lm.packed, "_LONG", 8)
    monkeypatch.setattr(lm.packed, "_TOKENS_ON_CPU", 40)
    torch.testing.assert_close(
        choose(model, tokenizer, chats, options, batch_size=8).log_probs, whole.log_probs, rtol=1e-4, atol=1e-5
    )


def test_longer_options_are_not_packed(monkeypatch):
    model, tokenizer = random_model("llama"), byte_tokenizer()
    chats, _ = asked()
    options = [["A b", "A c d", "A"]] * len(chats)
    whole = choose(model, tokenizer, chats, options, batch_size=8)
    monkeypatch.setattr(lm.packed, "_LONG", 8)
    monkeypatch.setattr("lm.token_scores.run_packed", lambda *_: pytest.fail("packed"))
    torch.testing.assert_close(choose(model, tokenizer, chats, options, batch_size=8).log_probs, whole.log_probs)
