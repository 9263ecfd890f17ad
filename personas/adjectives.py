"""A persona in a sentence of adjectives."""

from __future__ import annotations

from collections.abc import Mapping

from personas.persona import Persona
from personas.traits import TRAIT_OF_FACET

# trait -> adjectives of somebody high on it, and of somebody low on it; the most telling ones first
ADJECTIVES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "openness": (
        ("imaginative", "curious", "artistic", "adventurous", "progressive"),
        ("unimaginative", "conventional", "traditional", "incurious", "unartistic"),
    ),
    "conscientiousness": (
        ("disciplined", "organized", "reliable", "careful", "hardworking"),
        ("careless", "disorganized", "lazy", "unreliable", "aimless"),
    ),
    "extraversion": (
        ("outgoing", "energetic", "cheerful", "sociable", "assertive"),
        ("withdrawn", "reserved", "solitary", "timid", "solemn"),
    ),
    "agreeableness": (
        ("kind", "helpful", "trusting", "sympathetic", "cooperative"),
        ("selfish", "quarrelsome", "suspicious", "merciless", "arrogant"),
    ),
    "neuroticism": (
        ("anxious", "irritable", "gloomy", "self-conscious", "fragile"),
        ("calm", "even-tempered", "contented", "poised", "resilient"),
    ),
    "machiavellianism": (
        ("manipulative", "cunning", "calculating", "ruthless", "devious"),
        ("straightforward", "guileless", "principled", "idealistic", "artless"),
    ),
    "narcissism": (
        ("self-important", "entitled", "superior", "demanding", "grandiose"),
        ("undemanding", "ordinary", "grateful", "fair-minded", "unpretending"),
    ),
    "psychopathy": (
        ("cold-blooded", "heartless", "remorseless", "cruel", "lawless"),
        ("humane", "gentle", "remorseful", "harmless", "lawful"),
    ),
}

AVERAGE = 0.25
"""A level closer to 0 than this is average: nothing is said of it."""
STRONG = 0.75
"""A level at least this far from 0 is very high or very low."""


def described_traits(persona: Persona) -> dict[str, float]:
    """The traits of a persona that are not average, from the strongest to the weakest; a facet counts as its trait.

    Example:
        >>> described_traits(Persona("someone", {"openness": 0.1, "trust": -0.5, "neuroticism": 1.0}))
        {'neuroticism': 1.0, 'agreeableness': -0.5}
    """
    levels: dict[str, float] = {}
    for name, level in persona.levels.items():
        trait = TRAIT_OF_FACET.get(name, name)
        if abs(level) >= AVERAGE and abs(level) > abs(levels.get(trait, 0.0)):
            levels[trait] = level
    return dict(sorted(levels.items(), key=lambda pair: -abs(pair[1])))


def by_adjectives(persona: Persona, words: int = 3, strong: str = "very", mild: str = "somewhat") -> str:
    """Say who a persona is by adjectives, a sentence for each trait that is not average.

    Args:
        persona: The persona.
        words: How many adjectives for each trait.
        strong: The adverb for levels near the extremes.
        mild: The adverb for the others.

    Returns:
        The sentences; one that says so for somebody average in every way.

    Example:
        >>> by_adjectives(Persona.trait("extraversion", -1))
        'You are very withdrawn, reserved and solitary.'
        >>> by_adjectives(Persona("someone", {"openness": 0.5, "neuroticism": -1.0}), words=1)
        'You are very calm. You are somewhat imaginative.'
    """
    sentences = []
    for trait, level in described_traits(persona).items():
        chosen = list(ADJECTIVES[trait][0 if level > 0 else 1][:words])
        listed = f"{', '.join(chosen[:-1])} and {chosen[-1]}" if len(chosen) > 1 else chosen[0]
        sentences.append(f"You are {strong if abs(level) >= STRONG else mild} {listed}.")
    return " ".join(sentences) or "You are an average person."
