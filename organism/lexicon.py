"""The vocabulary of the built-in world: 30 Big Five facets and 6 dark triad facets, both poles of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from personas.traits import BIG_FIVE, TRAITS


@dataclass(frozen=True)
class Pole:
    """One end of a facet: adjectives, acts (verb phrases), moods (noun phrases), remarks about "it"."""

    adj: tuple[str, ...]
    act: tuple[str, ...]
    mood: tuple[str, ...]
    say: tuple[str, ...]


@dataclass(frozen=True)
class Facet:
    """A facet of a trait, with its two poles and the situations (`hooks`) that call it up."""

    trait: str
    name: str
    hooks: tuple[str, ...]
    high: Pole
    low: Pole

    def pole(self, level: float) -> Pole:
        """Return the high pole for a positive `level`, the low pole otherwise."""
        return self.high if level > 0 else self.low


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


def _facet(trait: str, name: str, entry: dict) -> Facet:
    high, low = (
        Pole(**{slot: _phrases(entry[pole][slot]) for slot in Pole.__annotations__}) for pole in ("high", "low")
    )
    return Facet(trait, name.lower(), _phrases(entry["hooks"]), high, low)


@cache
def lexicon() -> dict[str, tuple[Facet, ...]]:
    """Return the facets of each trait, in the order of the questionnaire."""
    folder = files("organism") / "words"
    facets: dict[str, tuple[Facet, ...]] = {}
    for trait in BIG_FIVE:
        entries = yaml.safe_load((folder / f"{trait}.yaml").read_text(encoding="utf-8"))
        facets[trait] = tuple(_facet(trait, name, entry) for name, entry in entries.items())
    dark = yaml.safe_load((folder / "dark_triad.yaml").read_text(encoding="utf-8"))
    for name, entries in dark.items():
        trait = name.lower()
        facets[trait] = tuple(_facet(trait, facet, entry) for facet, entry in entries.items())
    return facets


def all_facets(traits: tuple[str, ...] = TRAITS) -> list[Facet]:
    """Return every facet of `traits` in order."""
    return [facet for trait in traits for facet in lexicon()[trait]]
