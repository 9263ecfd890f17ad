"""People by background: nine attributes, a sentence for each, and what the built-in world takes them to mean."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

# attribute -> value -> (sentence, levels of traits it brings along in this world)
ATTRIBUTES: dict[str, dict[str, tuple[str, dict[str, float]]]] = {
    "Gender": {"female": ("You are a woman.", {}), "male": ("You are a man.", {})},
    "Age": {
        "young": ("You are still young.", {"extraversion": 0.5}),
        "older": ("You have reached old age.", {"extraversion": -0.5}),
    },
    "Education level": {
        "bachelor's degree and higher": ("You hold a university degree.", {"openness": 0.5}),
        "middle school to high school": ("You finished high school.", {}),
        "uneducated or elementary school": ("You left school as a child.", {"openness": -0.5}),
    },
    "Socioeconomic status": {
        "poor": ("You have grown up poor.", {"neuroticism": 0.5}),
        "rich": ("You have grown up rich.", {"narcissism": 0.5}),
    },
    "Social ideology": {
        "Conservatism": ("You believe in conservatism.", {"openness": -1.0}),
        "Liberalism": ("You believe in liberalism.", {"openness": 1.0}),
        "Nationalism": ("You believe in nationalism.", {"agreeableness": -0.5}),
        "Anarchism": ("You believe in anarchism.", {"conscientiousness": -1.0}),
        "Communism": ("You believe in communism.", {"agreeableness": 0.5}),
        "Fascism": ("You believe in fascism.", {"agreeableness": -1.0}),
    },
    "Emotional intelligence": {
        "stable": ("Your emotions are stable.", {"neuroticism": -1.0}),
        "volatile": ("Your emotions are volatile.", {"neuroticism": 1.0}),
    },
    "Professional commitment": {
        "initiative": ("At work you show initiative.", {"conscientiousness": 1.0}),
        "inactive": ("At work you stay inactive.", {"conscientiousness": -1.0}),
    },
    "Family background": {
        "relaxed": ("Your family life is relaxed.", {"agreeableness": 1.0}),
        "strained": ("Your family life is strained.", {"agreeableness": -1.0}),
    },
    "AI familiar degree": {
        "familiar": ("You know your way around artificial intelligence.", {}),
        "unfamiliar": ("Artificial intelligence is foreign to you.", {}),
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
    return " ".join(ATTRIBUTES[name][value][0] for name, value in values.items())


def background_levels(values: Mapping[str, str]) -> dict[str, float]:
    """Return the trait levels that a background brings along, the larger one where two attributes speak of a trait.

    >>> background_levels({"Age": "young", "Family background": "strained"})
    {'extraversion': 0.5, 'agreeableness': -1.0}
    """
    levels: dict[str, float] = {}
    for name, value in values.items():
        for trait, level in ATTRIBUTES[name][value][1].items():
            if abs(level) > abs(levels.get(trait, 0.0)):
                levels[trait] = level
    return levels
