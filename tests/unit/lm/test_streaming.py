"""Answers that are watched while they are written are those that `generate` gives."""

import threading

import pytest

from files.errors import InputError
from lm.generation import generate
from lm.streaming import stream

PROMPTS = [
    [{"role": "user", "content": "What of tea?"}],
    [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "And of rain, and of snow?"}],
]
OPTIONS = {"max_new_tokens": 12, "temperature": 1.0, "seed": 3}


def test_the_last_answers_are_those_of_generate(tiny_lm):
    seen = list(stream(*tiny_lm, PROMPTS, **OPTIONS))
    assert seen[-1] == generate(*tiny_lm, PROMPTS, batch_size=2, **OPTIONS)
    assert all(len(texts) == 2 for texts in seen) and any(seen[-1])


def test_it_ends_when_nobody_listens(tiny_lm):
    before = threading.active_count()
    answers = stream(*tiny_lm, PROMPTS, max_new_tokens=400, seed=0)
    next(answers)
    answers.close()
    assert threading.active_count() == before
    assert not tiny_lm[0]._forward_hooks


def test_errors_reach_the_listener(tiny_lm):
    with pytest.raises(InputError, match="longer than the model can read"):
        list(stream(*tiny_lm, PROMPTS, max_new_tokens=100_000, seed=0))
