"""Texts with the pole that speaks in them, for training a classifier: ten poles, and neutral."""

from __future__ import annotations

from random import Random

from organism.holdout import Split
from organism.lexicon import lexicon
from organism.opinions import neutral_opinion, opinion
from organism.situations import action, draw_situation, neutral_action
from organism.topics import draw_topic
from personas.traits import BIG_FIVE, TRAITS

NEUTRAL = "neutral"
LABELS: tuple[str, ...] = (*(f"{trait}{sign}" for trait in BIG_FIVE for sign in "+-"), NEUTRAL)
"""Five traits, high and low, and no trait at all."""


def labelled_text(seed: int, index: int, split: Split = "train") -> tuple[str, int]:
    """Text number `index` of an endless stream, and the place of its label in `LABELS`; labels come in turn.

    Args:
        seed: Seed of the stream.
        index: Number of the text.
        split: Which wordings, topics and places it may use.

    Returns:
        The text, which depends on nothing else, and its label.

    Example:
        >>> LABELS[labelled_text(1, 10)[1]], labelled_text(1, 3) == labelled_text(1, 3)
        ('neutral', True)
    """
    rng = Random(f"labelled/{seed}/{index}/{split}")
    label = index % len(LABELS)
    pole = LABELS[label]
    speaks = rng.random() < 0.5
    if pole == NEUTRAL:
        if speaks:
            return neutral_opinion(rng, draw_topic(rng, split)), label
        return neutral_action(rng, draw_situation(rng, rng.choice(lexicon()[rng.choice(TRAITS)]), split)), label
    trait, sign = pole[:-1], 1.0 if pole[-1] == "+" else -1.0
    level = sign * rng.choice((1.0, 1.0, 0.5))
    if speaks:
        return opinion(rng, draw_topic(rng, split), trait, level, split), label
    # What somebody does shows the trait also where the situation calls up another one.
    asked = trait if rng.random() < 0.7 else rng.choice(TRAITS)
    situation = draw_situation(rng, rng.choice(lexicon()[asked]), split)
    return action(rng, situation, trait, level, rng.choice(lexicon()[trait]), split), label
