"""Who a model should become: a named set of trait and facet levels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from personas.traits import TRAIT_OF_FACET, TRAITS


@dataclass(frozen=True)
class Persona:
    """One person to speak as.

    Levels lie between -1 (as low as people get) and +1 (as high as they get); 0 is average, and a trait that is not
    named is left as the model has it. A character without known levels has a name alone.

    Attributes:
        name: What results call this persona; ``Persona.trait`` makes names such as ``extraversion+``.
        levels: From trait or facet name (``personas.traits``) to its level.
    """

    name: str
    levels: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse levels that mean nothing.

        Raises:
            ValueError: If a level belongs to no known trait or facet, or lies outside -1 to 1.
        """
        for name, level in self.levels.items():
            if name not in TRAITS and name not in TRAIT_OF_FACET:
                raise ValueError(f"persona {self.name!r} has a level of {name!r}, which is neither a trait nor a facet")
            if not math.isfinite(level) or abs(level) > 1:
                raise ValueError(f"persona {self.name!r} expected levels from -1 to 1, but got {level} for {name}")

    def __hash__(self) -> int:
        """Hash by name and levels, so that personas can be dictionary keys."""
        return hash((self.name, tuple(sorted(self.levels.items()))))

    @classmethod
    def trait(cls, name: str, level: float = 1.0) -> "Persona":
        """Make the persona of one trait at one level.

        Args:
            name: Trait or facet.
            level: How much of it, from -1 to 1.

        Returns:
            A persona labelled by the trait and its direction; a level other than the extremes is written out.

        Example:
            >>> Persona.trait("extraversion").name, Persona.trait("trust", -1).name, Persona.trait("trust", 0.5).name
            ('extraversion+', 'trust-', 'trust+0.5')
        """
        sign = "+" if level > 0 else "-" if level < 0 else "="
        size = "" if abs(level) in (0.0, 1.0) else f"{abs(level):g}"
        return cls(name=f"{name}{sign}{size}", levels={name: float(level)})

    @property
    def main_trait(self) -> str | None:
        """The one trait this persona is about, the facet's own trait for a facet; None if there is not exactly one.

        Example:
            >>> Persona.trait("trust", -1).main_trait
            'agreeableness'
        """
        traits = {TRAIT_OF_FACET.get(name, name) for name in self.levels}
        return traits.pop() if len(traits) == 1 else None

    def trait_levels(self) -> dict[str, float]:
        """Levels by trait; facets count as their trait, the mean where there are several.

        Example:
            >>> Persona("someone", {"trust": 1.0, "modesty": 0.0, "openness": -1.0}).trait_levels()
            {'agreeableness': 0.5, 'openness': -1.0}
        """
        found: dict[str, list[float]] = {}
        for name, level in self.levels.items():
            found.setdefault(TRAIT_OF_FACET.get(name, name), []).append(level)
        return {trait: sum(levels) / len(levels) for trait, levels in found.items()}
