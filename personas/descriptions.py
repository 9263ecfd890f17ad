"""Files of persona descriptions: texts for the high and the low end of traits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from files.errors import InputError
from files.records import read_records
from personas.persona import Persona
from personas.traits import trait_named

REVERSED = "_reversed"
"""What the name of a trait ends with where a text is about its low end."""

Pole = tuple[str, int]
"""A trait, and 1 for its high end or -1 for its low one."""


def pole_named(name: str) -> Pole:
    """The end of a trait that a key names.

    Raises:
        ValueError: If no trait is called so.

    Example:
        >>> pole_named("Openness"), pole_named("Openness_reversed")
        (('openness', 1), ('openness', -1))
    """
    trait = name.removesuffix(REVERSED)
    return trait_named(trait), 1 if trait == name else -1


def key_of(pole: Pole) -> str:
    """The key that names the end of a trait.

    Example:
        >>> key_of(("openness", -1))
        'Openness_reversed'
    """
    trait, sign = pole
    return trait.title() if sign > 0 else f"{trait.title()}{REVERSED}"


def pole_of(persona: Persona) -> Pole | None:
    """The end of a trait that a persona stands at; None where it is not about exactly one trait, or is average.

    Example:
        >>> pole_of(Persona.trait("trust", -0.5)), pole_of(Persona("someone"))
        (('agreeableness', -1), None)
    """
    levels = set(persona.levels.values())
    if persona.main_trait is None or len({level > 0 for level in levels}) != 1 or 0.0 in levels:
        return None
    return persona.main_trait, 1 if levels.pop() > 0 else -1


def read_persona_descriptions(path: str | Path) -> Mapping[Pole, tuple[str, ...]]:
    """Read descriptions of personas.

    Args:
        path: JSON Lines (or a JSON list) of objects that map a trait's name, or `<Trait>_reversed`, to a text; an
            object may lack some.

    Returns:
        All texts of each end of a trait.

    Raises:
        InputError: If the file is faulty, or names something that is no trait.
    """
    texts: dict[Pole, list[str]] = {}
    for row, record in read_records(path):
        for name, text in record.items():
            try:
                pole = pole_named(name)
            except ValueError as error:
                raise InputError(
                    "names no trait",
                    file=path,
                    row=row,
                    field=name,
                    expected=f"a trait's name such as Openness, or Openness{REVERSED}",
                    got=name,
                    fix="correct the key",
                ) from error
            if not isinstance(text, str) or not text.strip():
                raise InputError(
                    "is no description",
                    file=path,
                    row=row,
                    field=name,
                    expected="text that is not empty",
                    got=text,
                    fix="correct or remove it",
                )
            texts.setdefault(pole, []).append(text.strip())
    return {pole: tuple(of_pole) for pole, of_pole in texts.items()}
