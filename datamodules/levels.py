"""The personas that a benchmark of traits asks for: each trait at some levels."""

from __future__ import annotations

from collections.abc import Sequence

from files.errors import InputError
from personas.persona import Persona
from personas.traits import TRAITS

NOBODY = "nobody"
"""Name of the persona that leaves the model as it is."""


def wanted_personas(trait: str, levels: Sequence[float]) -> list[Persona]:
    """A persona of a trait at each level; nobody in particular where there are no levels.

    Example:
        >>> [who.name for who in wanted_personas("openness", (1, -1))], wanted_personas("openness", ())[0].levels
        (['openness+', 'openness-'], {})
    """
    return [Persona.trait(trait, level) for level in levels] or [Persona(NOBODY)]


def check_levels(levels: Sequence[float]) -> None:
    """Refuse levels that mean nothing.

    Raises:
        InputError: Naming the option.
    """
    if any(not 0 < abs(level) <= 1 for level in levels) or len(set(levels)) < len(levels):
        raise InputError(
            "is no choice of levels",
            field="--data.init_args.levels",
            expected="different numbers from -1 to 1, but not 0",
            got=list(levels),
            fix="correct the list; an empty one asks the model as nobody in particular",
        )


def check_traits(traits: Sequence[str]) -> None:
    """Refuse what is no trait.

    Raises:
        InputError: Naming the option.
    """
    if not traits or not set(traits) <= set(TRAITS) or len(set(traits)) < len(traits):
        raise InputError(
            "is no choice of traits",
            field="--data.init_args.traits",
            expected=f"different ones of {', '.join(TRAITS)}",
            got=list(traits),
            fix="correct the list",
        )
