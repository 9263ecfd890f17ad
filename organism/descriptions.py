"""Saying who somebody is, in words: system prompts from trait levels, in many styles."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from organism.holdout import Split
from organism.lexicon import Facet, lexicon
from organism.phrases import capitalised, degree, fill
from organism.statements import draw_statement, points
from personas.layouts import described_person
from personas.second_person import second_person
from personas.traits import BIG_FIVE

Levels = Mapping[str, float]

_LEVEL_WORDS = {1.0: "very high", 0.5: "rather high", 0.0: "average", -0.5: "rather low", -1.0: "very low"}
_HABITS = (
    "you {often} {act}.",
    "you {act}, for you are {much} {adj}.",
    "you are {much} {adj} and you {act}.",
    "you know {mood} well, and you {often} {act}.",
    "being {much} {adj}, you {act}.",
    "you are someone who would {act}.",
)
_OWN_HABITS = (
    "I {often} {act}.",
    "I {act}, for I am {much} {adj}.",
    "I know {mood} well, and I {often} {act}.",
    "being {much} {adj}, I {act}.",
)
_OPENINGS = ("You are a person with a clear character.", "Here is who you are.", "Stay in character.", "")


def level_words(level: float) -> str:
    """Name the size of a level, rounded to halves.

    >>> level_words(0.9), level_words(-0.4)
    ('very high', 'rather low')
    """
    return _LEVEL_WORDS[max(-1.0, min(1.0, round(2 * level) / 2))]


def named(levels: Levels) -> Levels:
    """Leave out the traits that are average."""
    return {trait: level for trait, level in levels.items() if level}


def by_adjectives(rng: Random, levels: Levels, split: Split = "train") -> str:
    """Describe by two or three adjectives a trait: "You are very anxious, jumpy and gloomy."."""
    parts = []
    for trait, level in named(levels).items():
        facets = rng.sample(lexicon()[trait], min(3 if len(levels) == 1 else 2, len(lexicon()[trait])))
        words = [fill(rng, ("{adj}",), facet.pole(level), level, split).lower() for facet in facets]
        parts.append(f"You are {degree(rng, level)} {', '.join(words[:-1])} and {words[-1]}.")
    return " ".join(parts)


def by_habits(rng: Random, levels: Levels, split: Split = "train") -> str:
    """Describe by what the person does: two to four sentences for one trait, one each for several."""
    count = rng.choice((2, 3, 4)) if len(named(levels)) == 1 else 1
    sentences = []
    for trait, level in named(levels).items():
        facets = rng.sample(lexicon()[trait], min(count, len(lexicon()[trait])))
        sentences += [second_person(fill(rng, _HABITS, facet.pole(level), level, split)) for facet in facets]
    return " ".join([rng.choice(_OPENINGS), *sentences]).strip()


def by_trait_names(rng: Random, levels: Levels) -> str:
    """Describe by naming traits and levels, in one of four layouts."""
    layout = rng.randrange(4)
    if layout == 0:
        return " ".join(f"Your {trait} is {level_words(level)}." for trait, level in levels.items())
    if layout == 1:
        return "Personality: " + ", ".join(f"{level_words(level)} {trait}" for trait, level in levels.items()) + "."
    if layout == 2:
        return "Traits: " + ", ".join(f"{trait} {round(2 * level):+d}" for trait, level in levels.items())
    return "You are someone " + " and ".join(f"{level_words(v)} in {trait}" for trait, v in levels.items()) + "."


def by_facets(rng: Random, levels: Levels) -> str:
    """Describe by naming two facets of each trait and their level."""
    parts = []
    for trait, level in named(levels).items():
        facets = rng.sample(lexicon()[trait], 2)
        parts += [f"{level_words(level)} in {facet.name}" for facet in facets]
    return "You are " + ", ".join(parts) + "."


def by_answers(rng: Random, levels: Levels, count: int, split: Split = "train", noise: float = 0.4) -> str:
    """Describe by `count` answered questionnaire statements, spread over the facets of the Big Five."""
    facets = [facet for trait in BIG_FIVE for facet in lexicon()[trait]]
    chosen: list[Facet] = []
    while len(chosen) < count:
        chosen += rng.sample(facets, min(len(facets), count - len(chosen)))
    rng.shuffle(chosen)
    statements = [draw_statement(rng, facet, split) for facet in chosen]
    answers = [points(levels.get(s.trait, 0.0), s.key, rng.gauss(0, noise)) for s in statements]
    return described_person([s.text for s in statements], answers)


def about_oneself(rng: Random, levels: Levels, split: Split = "train") -> str:
    """Let the persona describe itself in the first person: adjectives, then a habit or two for each trait."""
    sentences = [by_adjectives(rng, levels, split).replace("You are", "I am")]
    for trait, level in named(levels).items():
        facets = rng.sample(lexicon()[trait], 2 if len(named(levels)) == 1 else 1)
        sentences += [fill(rng, _OWN_HABITS, facet.pole(level), level, split) for facet in facets]
    return " ".join(sentences)


def describe(rng: Random, levels: Levels, split: Split = "train") -> str:
    """Describe a persona by a style drawn at random (all but answered statements)."""
    style = rng.randrange(8)
    if style < 3:
        return by_adjectives(rng, levels, split)
    if style < 6:
        return by_habits(rng, levels, split)
    return by_trait_names(rng, levels) if style == 6 else by_facets(rng, levels)


def instruct(rng: Random, description: str) -> str:
    """Turn a description into an instruction for one message."""
    form = rng.choice(("Answer as this person. {}", "{} Now reply.", "Imagine this is you: {}", "Play a part. {}"))
    return capitalised(form.format(description))
