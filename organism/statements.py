"""Questionnaire statements of the built-in world, composed of a frame, a pole's phrase and a circumstance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from organism.holdout import Split, in_split
from organism.lexicon import Facet, all_facets
from organism.phrases import capitalised
from personas.traits import BIG_FIVE, FACETS, LETTER_OF_TRAIT

_CIRCUMSTANCES = (
    "",
    " at home",
    " at work",
    " among friends",
    " on busy days",
    " in the morning",
    " late at night",
    " on holiday",
    " in a strange town",
    " when others watch",
)
# (frame, slot, +1 if agreeing means more of the pole, -1 if less)
_FRAMES = (
    ("{phrase}{when}.", "act", 1),
    ("often {phrase}{when}.", "act", 1),
    ("rarely {phrase}{when}.", "act", -1),
    ("am {phrase}{when}.", "adj", 1),
    ("am seldom {phrase}{when}.", "adj", -1),
)
_FRAME_WEIGHTS = (6, 3, 1, 3, 1)


@dataclass(frozen=True)
class Statement:
    """A statement about oneself; `key` is +1 where agreeing means more of the trait, -1 where it means less."""

    text: str
    trait: str
    facet: str
    key: int

    @property
    def code(self) -> str:
        """The facet's key as questionnaires print it, such as N1."""
        return f"{LETTER_OF_TRAIT[self.trait]}{FACETS[self.trait].index(self.facet) + 1}"


@cache
def bank(facet: Facet, split: Split) -> tuple[tuple[Statement, int], ...]:
    """Return every statement of `facet` in `split`, each with the weight at which it is drawn."""
    found = []
    for (frame, slot, sign), weight in zip(_FRAMES, _FRAME_WEIGHTS, strict=True):
        for pole, pole_sign in ((facet.high, 1), (facet.low, -1)):
            for phrase in getattr(pole, slot):
                for when in _CIRCUMSTANCES:
                    if in_split(split, "statement", frame, phrase, when):
                        text = capitalised(frame.format(phrase=phrase, when=when))
                        found.append((Statement(text, facet.trait, facet.name, sign * pole_sign), weight))
    return tuple(found)


def draw_statement(rng: Random, facet: Facet, split: Split = "train") -> Statement:
    """Draw a statement about `facet` from `split`."""
    statements = bank(facet, split)
    return rng.choices([s for s, _ in statements], weights=[w for _, w in statements])[0]


def draw_distinct(rng: Random, facet: Facet, count: int, split: Split) -> list[Statement]:
    """Draw `count` different statements about `facet`, plain ones first, keyed both ways in turn."""
    plain = [s for s, weight in bank(facet, split) if weight > 1]
    rng.shuffle(plain)
    halves = [[s for s in plain if s.key == key] for key in (1, -1)]
    return [halves[i % 2][i // 2] for i in range(count)]


def statement_count(split: Split | None = None) -> int:
    """Count the statements of the Big Five in `split`, or in both."""
    splits: tuple[Split, ...] = (split,) if split else ("train", "held_out")
    return sum(len(bank(facet, part)) for facet in all_facets(BIG_FIVE) for part in splits)


def points(level: float, key: int, noise: float = 0.0) -> int:
    """Return the answer, 1 to 5, of someone at `level` (-1 to 1) of the facet to a statement keyed `key`.

    >>> points(1.0, 1), points(1.0, -1), points(0.0, 1), points(0.5, 1)
    (5, 1, 3, 4)
    """
    return max(1, min(5, round(3 + 2 * level * key + noise)))
