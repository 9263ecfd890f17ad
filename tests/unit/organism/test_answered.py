"""Lessons in reading a person off answers: what is told and what is asked belong to one person."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import pytest

from organism.answered import described_answers_chat, own_answers_chat
from organism.lexicon import all_facets
from organism.statements import bank
from personas.traits import BIG_FIVE

STATEMENTS = {s.text: s for facet in all_facets(BIG_FIVE) for s, _ in bank(facet, "train")}
SIDE = {"A": 1, "B": 1, "D": -1, "E": -1}


def told(chat):
    """The statements that describe somebody, each with the sign of its answer."""
    lines = [line for turn in chat if turn["role"] == "system" for line in turn["content"].splitlines()[1:]]
    return [(line[:-2], SIDE[line[-1]]) for line in lines]


def asked(chat):
    """The statements that are asked, each with the sign of its answer."""
    turns = [turn["content"] for turn in chat if turn["role"] != "system"]
    pairs = zip(turns[::2], turns[1::2], strict=True)
    return [(max((text for text in STATEMENTS if text in turn), key=len), SIDE[reply[0]]) for turn, reply in pairs]


@pytest.mark.parametrize("lesson", [described_answers_chat, own_answers_chat])
def test_all_answers_of_a_chat_are_those_of_one_clear_person(lesson):
    for seed in range(30):
        sides = defaultdict(set)
        chat = lesson(Random(seed))
        pairs = told(chat) + asked(chat)
        for text, sign in pairs:
            sides[STATEMENTS[text].trait].add(sign * STATEMENTS[text].key)
        assert all(len(of_trait) == 1 for of_trait in sides.values())
        assert len(pairs) >= 4


@pytest.mark.parametrize("lesson", [described_answers_chat, own_answers_chat])
def test_what_is_asked_is_close_to_what_was_answered(lesson):
    same = alike = total = 0
    for seed in range(60):
        chat = lesson(Random(seed))
        known = [STATEMENTS[text] for text, _ in told(chat)]
        for text, _ in asked(chat):
            if known:
                total += 1
                same += text in {statement.text for statement in known}
                alike += STATEMENTS[text].facet in {statement.facet for statement in known}
            known.append(STATEMENTS[text])
    assert same / total > 0.2 and alike / total > 0.6
