"""Personas by what a user types: `extraversion+`, `trust-0.5`, or several levels at once."""

from __future__ import annotations

import re

from files.errors import InputError
from personas.persona import Persona
from personas.traits import TRAIT_OF_FACET, TRAITS

_LEVEL = re.compile(r"(?P<name>[a-z][a-z -]*?)\s*(?P<sign>[+=-])\s*(?P<size>-?\d*\.?\d*)")


def persona_named(text: str, option: str = "--personas") -> Persona:
    """The persona that a text names: traits or facets, each with its level, separated by commas.

    Args:
        text: Such as `extraversion+` (as high as people get), `trust-0.5`, or `openness=1, neuroticism=-0.5`.
        option: What the text was given as, for errors.

    Returns:
        The persona; of one trait it is called as `Persona.trait` calls it, of several by the text.

    Raises:
        InputError: It names no trait, or a level outside of -1 to 1.

    Example:
        >>> persona_named("trust-0.5").levels, persona_named("openness=1, neuroticism=-0.5").levels
        ({'trust': -0.5}, {'openness': 1.0, 'neuroticism': -0.5})
    """
    levels: dict[str, float] = {}
    for part in text.lower().split(","):
        found = _LEVEL.fullmatch(part.strip())
        name = found["name"] if found else part.strip()
        level = _level(found["sign"], found["size"]) if found else None
        if level is None or name in levels or (name not in TRAITS and name not in TRAIT_OF_FACET):
            raise InputError(
                "names no persona",
                field=option,
                expected="levels from -1 to 1 of traits or facets, such as extraversion+, trust-0.5 or openness=-0.5",
                got=text,
                fix="correct it",
            )
        levels[name] = level
    return Persona.trait(*next(iter(levels.items()))) if len(levels) == 1 else Persona(text.strip(), levels)


def _level(sign: str, size: str) -> float | None:
    """The level that a sign and a size say; None where they say nothing, or too much."""
    try:
        number = float(size) if size else None
    except ValueError:
        return None
    if sign == "=":
        level = number
    else:
        level = 1.0 if number is None else number
        level = -level if sign == "-" else level
    return level if level is not None and -1 <= level <= 1 and not (sign != "=" and size.startswith("-")) else None
