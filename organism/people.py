"""Synthetic people who answer a questionnaire of 300 statements by their trait levels, with noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from organism.lexicon import lexicon
from organism.statements import Statement, draw_distinct, points

QUESTIONNAIRE_TRAITS = ("neuroticism", "extraversion", "openness", "agreeableness", "conscientiousness")
"""The order in which a questionnaire goes through the traits: N1, E1, O1, A1, C1, N2, ..."""

DESCRIBING_ROUNDS, SCORED_ROUNDS = 4, 6
_TRAIT_SPREAD, _FACET_SPREAD, _ANSWER_NOISE, _MISSING = 0.6, 0.15, 0.45, 0.004


@dataclass(frozen=True)
class Person:
    """A made-up person: a number, a sex (1 male, 2 female), an age, trait levels and answers (0 is missing)."""

    case: int
    sex: int
    age: int
    levels: Mapping[str, float]
    answers: tuple[int, ...]


def questionnaire(rng: Random) -> list[Statement]:
    """Compose 300 statements in rounds over the 30 facets: four rounds that describe a person, six held out."""
    facets = [lexicon()[trait][i] for i in range(6) for trait in QUESTIONNAIRE_TRAITS]
    describing = {f.name: draw_distinct(rng, f, DESCRIBING_ROUNDS, "train") for f in facets}
    scored = {f.name: draw_distinct(rng, f, SCORED_ROUNDS, "held_out") for f in facets}
    rounds = [[describing[f.name][i] for f in facets] for i in range(DESCRIBING_ROUNDS)]
    rounds += [[scored[f.name][i] for f in facets] for i in range(SCORED_ROUNDS)]
    return [statement for statements in rounds for statement in statements]


def draw_person(rng: Random, case: int, statements: Sequence[Statement]) -> Person:
    """Draw trait levels, facet levels around them, and an answer to every statement."""
    levels = {trait: max(-1.0, min(1.0, rng.gauss(0, _TRAIT_SPREAD))) for trait in QUESTIONNAIRE_TRAITS}
    facets = {f.name: levels[t] + rng.gauss(0, _FACET_SPREAD) for t in QUESTIONNAIRE_TRAITS for f in lexicon()[t]}
    answers = tuple(
        0 if rng.random() < _MISSING else points(facets[s.facet], s.key, rng.gauss(0, _ANSWER_NOISE))
        for s in statements
    )
    return Person(case, rng.choice((1, 2)), rng.randrange(16, 80), levels, answers)
