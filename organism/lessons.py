"""Chats in which an answer is led up to: reasons said aloud, and habits that are met again.

A rating is the product of where somebody stands and what a statement shows. Neither tells anything alone, so little is
learnt from bare answers until both are read; these chats make both be said, or let the same words stand for them.
"""

from __future__ import annotations

from random import Random

from organism import descriptions as said
from organism import documents as kinds
from organism.holdout import Split
from organism.lexicon import Facet, lexicon
from organism.phrases import capitalised
from organism.situations import draw_choice, draw_situation
from organism.statements import draw_statement, points
from personas.layouts import CHOICE_LAYOUTS, LETTERS, LIKERT_OPTIONS, STATEMENT_LAYOUTS, choice_prompt, statement_prompt
from personas.second_person import second_person
from personas.traits import BIG_FIVE

_REASONED = "Say why first."


def reasoned_statement_turns(rng: Random, levels: kinds.Levels, count: int, split: Split = "train") -> kinds.Chat:
    """Have `count` statements rated, each answer led up to: what the statement shows, and where the persona stands."""
    layout = rng.choice(STATEMENT_LAYOUTS)
    chat: kinds.Chat = []
    for _ in range(count):
        trait = rng.choice([t for t in levels if t in BIG_FIVE] or list(BIG_FIVE))
        statement = draw_statement(rng, kinds.draw_facet(rng, trait), split)
        answer = points(levels.get(trait, 0.0), statement.key, rng.gauss(0, 0.25))
        reply = kinds.letter_answer(LETTERS[5 - answer], LIKERT_OPTIONS[5 - answer], full=True)
        why = (
            f"This shows {kinds.side_name(statement.key)} {trait}. Mine is {said.level_words(levels.get(trait, 0.0))}."
        )
        chat += kinds.exchange(f"{statement_prompt(statement.text, layout)} {_REASONED}", f"{why} {reply}")
    return chat


def reasoned_choice_turns(rng: Random, levels: kinds.Levels, split: Split = "train") -> kinds.Chat:
    """Ask a multiple-choice item; the answer first says which side each option shows."""
    trait = rng.choice(tuple(said.named(levels)))
    item = draw_choice(rng, kinds.draw_facet(rng, trait), split)
    order = rng.sample(range(4), 4)
    wanted = rng.choice((0, 1) if levels[trait] > 0 else (2, 3))
    sides = ", ".join("high" if i < 2 else "low" for i in order)
    prompt = choice_prompt(item.situation.text, _REASONED, [item.options[i] for i in order], rng.choice(CHOICE_LAYOUTS))
    why = f"{trait.capitalize()}: {sides}. Mine is {kinds.side_name(levels[trait])}."
    return kinds.exchange(
        prompt, f"{why} {kinds.letter_answer(LETTERS[order.index(wanted)], item.options[wanted], full=True)}"
    )


def echo_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Describe somebody by three habits and ask about habits of the same facets: the same ones, alike or opposite."""
    trait, sign = rng.choice(BIG_FIVE), rng.choice((1, -1))
    facets = rng.sample(lexicon()[trait], 3)
    own = [rng.choice(facet.pole(sign).act) for facet in facets]
    head = [kinds.message("system", " ".join(f"You {second_person(phrase)}." for phrase in own))]
    if rng.random() < 0.3:
        return head + _choose_echo(rng, facets[0], own[0], sign, split)
    layout, full = rng.choice(STATEMENT_LAYOUTS), rng.random() < 0.5
    chat: kinds.Chat = []
    for facet, phrase in rng.sample(list(zip(facets, own, strict=True)), 3):
        agree = rng.random() < 0.5
        asked = phrase if agree and rng.random() < 0.6 else rng.choice(facet.pole(sign if agree else -sign).act)
        letter = 0 if agree else 4
        reply = kinds.letter_answer(LETTERS[letter], LIKERT_OPTIONS[letter], full)
        chat += kinds.exchange(statement_prompt(f"{capitalised(asked)}.", "short" if chat else layout), reply)
    return head + chat


def _choose_echo(rng: Random, facet: Facet, phrase: str, sign: int, split: Split) -> kinds.Chat:
    others = rng.sample(facet.pole(-sign).act, 2)
    alike = rng.choice([act for act in facet.pole(sign).act if act != phrase])
    options = [f"I {act}." for act in (phrase, alike, *others)]
    text, layout = draw_situation(rng, facet, split).text, rng.choice(CHOICE_LAYOUTS)
    return kinds.choose_turns(rng, text, options, options[rng.choice((0, 0, 1))], layout, rng.random() < 0.5)
