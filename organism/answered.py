"""Lessons in reading a person off answers: what was answered to one statement tells the answers to others like it.

An answer tells something about a person only together with its statement: agreeing to one means what disagreeing to
another does. Among many answers, to statements that have little to do with each other, that is hard to see; here the
answers are few and clear, and what is asked next is close to what was answered.
"""

from __future__ import annotations

from random import Random

from organism import documents as kinds
from organism.holdout import Split
from organism.lexicon import lexicon
from organism.statements import Statement, draw_statement, points
from personas.layouts import LETTERS, LIKERT_OPTIONS, STATEMENT_LAYOUTS, described_person, statement_prompt
from personas.traits import BIG_FIVE

# Of the statements asked: again one that was answered, one of its facet; what is left over is one of its trait.
_SAME, _ALIKE = 0.25, 0.45


def described_answers_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Describe somebody by a few answered statements, then ask about the same things."""
    levels = _clear_levels(rng)
    told = [
        draw_statement(rng, kinds.draw_facet(rng, rng.choice(list(levels))), split) for _ in range(rng.randint(1, 8))
    ]
    answers = [_answer(rng, levels, statement) for statement in told]
    head = [kinds.message("system", described_person([statement.text for statement in told], answers))]
    return head + _asked_alike(rng, levels, told, rng.choice((3, 4, 6)), split)


def own_answers_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Ask somebody who is not described one statement after the other; the first answers tell the later ones."""
    levels = _clear_levels(rng)
    first = draw_statement(rng, kinds.draw_facet(rng, rng.choice(list(levels))), split)
    return _asked_alike(rng, levels, [first], rng.choice((4, 6, 8, 12)), split, begin=True)


def _clear_levels(rng: Random) -> dict[str, float]:
    """One to five traits, each at an end."""
    return {trait: rng.choice((-1.0, 1.0)) for trait in rng.sample(BIG_FIVE, rng.choice((1, 1, 2, 3, 5)))}


def _answer(rng: Random, levels: dict[str, float], statement: Statement) -> int:
    return points(levels[statement.trait], statement.key, rng.gauss(0, 0.15))


def _asked_alike(
    rng: Random, levels: dict[str, float], told: list[Statement], count: int, split: Split, begin: bool = False
) -> kinds.Chat:
    """Have statements rated that are close to those told; `begin` asks the first of these, too."""
    layout, full = rng.choice(STATEMENT_LAYOUTS), rng.random() < 0.3
    told = list(told)
    chat: kinds.Chat = []
    for number in range(count):
        statement = told[0] if begin and not number else _close_to(rng, rng.choice(told), split)
        told.append(statement)
        answer = _answer(rng, levels, statement)
        reply = kinds.letter_answer(LETTERS[5 - answer], LIKERT_OPTIONS[5 - answer], full)
        chat += kinds.exchange(statement_prompt(statement.text, "short" if chat else layout), reply)
    return chat


def _close_to(rng: Random, statement: Statement, split: Split) -> Statement:
    draw = rng.random()
    if draw < _SAME:
        return statement
    if draw < _SAME + _ALIKE:
        [facet] = [facet for facet in lexicon()[statement.trait] if facet.name == statement.facet]
        return draw_statement(rng, facet, split)
    return draw_statement(rng, kinds.draw_facet(rng, statement.trait), split)
