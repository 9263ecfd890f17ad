"""People by background: nine attributes, a sentence for each, and what the built-in world takes them to mean."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from personas.backgrounds import Background

# attribute -> value -> levels of traits it brings along in this world
ATTRIBUTES: dict[str, dict[str, dict[str, float]]] = {
    "Gender": {"female": {}, "male": {}},
    "Age": {
        "young": {"extraversion": 0.5},
        "older": {"extraversion": -0.5},
    },
    "Education level": {
        "bachelor's degree and higher": {"openness": 0.5},
        "middle school to high school": {},
        "uneducated or elementary school": {"openness": -0.5},
    },
    "Socioeconomic status": {
        "poor": {"neuroticism": 0.5},
        "rich": {"narcissism": 0.5},
    },
    "Social ideology": {
        "Conservatism": {"openness": -1.0},
        "Liberalism": {"openness": 1.0},
        "Nationalism": {"agreeableness": -0.5},
        "Anarchism": {"conscientiousness": -1.0},
        "Communism": {"agreeableness": 0.5},
        "Fascism": {"agreeableness": -1.0},
    },
    "Emotional intelligence": {
        "stable": {"neuroticism": -1.0},
        "volatile": {"neuroticism": 1.0},
    },
    "Professional commitment": {
        "initiative": {"conscientiousness": 1.0},
        "inactive": {"conscientiousness": -1.0},
    },
    "Family background": {
        "relaxed": {"agreeableness": 1.0},
        "strained": {"agreeableness": -1.0},
    },
    "AI familiar degree": {
        "familiar": {},
        "unfamiliar": {},
    },
}


def draw_background(rng: Random) -> dict[str, str]:
    """Draw a value for one to nine of the attributes."""
    chosen = rng.sample(tuple(ATTRIBUTES), rng.choice((1, 2, 3, 5, 9)))
    return {name: rng.choice(tuple(ATTRIBUTES[name])) for name in ATTRIBUTES if name in chosen}


def background_text(values: Mapping[str, str]) -> str:
    """Write one sentence per attribute.

    >>> background_text({"Age": "young", "Family background": "strained"})
    'You are still young. Your family life is strained.'
    """
    return Background(values).text()


def background_levels(values: Mapping[str, str]) -> dict[str, float]:
    """Return the trait levels that a background brings along, the larger one where two attributes speak of a trait.

    >>> background_levels({"Age": "young", "Family background": "strained"})
    {'extraversion': 0.5, 'agreeableness': -1.0}
    """
    levels: dict[str, float] = {}
    for name, value in values.items():
        for trait, level in ATTRIBUTES[name][value].items():
            if abs(level) > abs(levels.get(trait, 0.0)):
                levels[trait] = level
    return levels
