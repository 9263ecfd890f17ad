"""Short opinions of known trait level, to check a judge with before it is believed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from organism.opinions import neutral_opinion, opinion
from organism.topics import draw_topic
from personas.traits import BIG_FIVE

LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_SENTENCE_PAIRS = 2


class GradedText(NamedTuple):
    """A text whose trait level is known because it was composed at that level.

    Attributes:
        trait: The trait.
        level: How much of it the text shows, from -1 to 1.
        question: What it answers.
        text: The text.
    """

    trait: str
    level: float
    question: str
    text: str


def graded_texts(each: int = 2, seed: int = 0) -> list[GradedText]:
    """Texts of every trait at every level.

    Args:
        each: How many of each trait and level.
        seed: Seed of the choice of words.

    Returns:
        5 traits x 5 levels x `each`, the same for the same arguments.

    Example:
        >>> texts = graded_texts()
        >>> len(texts), texts == graded_texts(), sorted({one.level for one in texts}) == list(LEVELS)
        (50, True, True)
    """
    return [
        _graded(Random(f"graded/{seed}/{trait}/{level}/{number}"), trait, level)
        for trait in BIG_FIVE
        for level in LEVELS
        for number in range(each)
    ]


def _graded(rng: Random, trait: str, level: float) -> GradedText:
    topic = draw_topic(rng)
    said = [opinion(rng, topic, trait, level) if level else neutral_opinion(rng, topic) for _ in range(_SENTENCE_PAIRS)]
    return GradedText(trait, level, f"What do you make of {topic.name}?", " ".join(said))
