"""Several methods at once: sums such as `pas + npti`, each at its own strength and for traits of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from interventions.applied import Combined, Intervention
from interventions.asked_trait import together
from interventions.formula import Term, parse_formula
from personas.persona import Persona
from personas.questions import Questions
from personas.traits import TRAIT_OF_FACET


class Composed(SteeringCallback):
    """The sum of methods; where two act at one place, the second sees what the first has made of it.

    A name in the formula is that of a part, or of the checkpoint's method (`pas`, `mend`). A part with traits in
    brackets steers towards these in every record; else it steers towards each record's own persona. Prompts are
    rewritten by the parts that do so, one after the other.

    Args:
        formula: Such as `pas + 0.5 * npti` or `repe(extraversion) - repe(neuroticism=0.5)`.
        parts: The methods by name.
        name: What results call the sum.
    """

    method = "composed"

    def __init__(self, formula: str, parts: dict[str, SteeringCallback] | None = None, name: str | None = None) -> None:
        self.formula = formula
        self.parts = dict(parts or {})
        self._terms: list[Term] = []
        if name is not None:
            self.method = name  # type: ignore[misc]  # this one's own name in place of the class's

    def settings(self) -> dict[str, Any]:
        """The formula and the settings of the parts."""
        return {
            "formula": self.formula,
            "parts": {name: [part.method, part.settings()] for name, part in sorted(self.parts.items())},
        }

    def fit(self) -> None:
        """Take the formula apart, and let every part learn or load what it needs.

        Raises:
            InputError: The formula cannot be understood, names what there is not, or a trait that there is not.
        """
        self._terms = parse_formula(self.formula)
        trained = getattr(self.evaluation.trained, "name", None)
        known = [*self.parts, *([trained] if trained else [])]
        for term in self._terms:
            if term.name not in known:
                raise InputError(
                    "the formula names a method that there is not",
                    field="formula",
                    expected=f"one of {', '.join(known)}" if known else "parts, or a checkpoint",
                    got=term.name,
                    fix="add it under parts, or give its checkpoint as --ckpt_path",
                )
            if term.levels:
                self._persona(term)
        for part in self.parts.values():
            part.evaluation = self.evaluation
            part.fit()

    def refusal(self, persona: Persona) -> str | None:
        """What the parts that steer towards each record's persona can express."""
        for term in self._terms:
            part = self.parts.get(term.name)
            wanted = self._persona(term) if term.levels else persona
            expected = part.refusal(wanted) if part is not None else None
            if expected is not None:
                return f"{expected} (for the part {term.label})"
        return None

    def terms(self, batch: Any) -> dict[str, RowIntervention]:
        """What each term of the formula does to the model for a batch."""
        found: dict[str, RowIntervention] = {}
        for term in self._terms:
            aimed = self._aimed(batch, term)
            part = self.parts.get(term.name)
            given = part.intervene(aimed) if part is not None else together(self.evaluation.trained.intervene(aimed))
            if given is not None:
                scaled = cast(Intervention, given)
                found[term.label] = scaled if term.weight == 1 else scaled.scaled(term.weight)
        return found

    def intervene(self, batch: Any) -> RowIntervention | None:
        """The sum for each record."""
        parts = [cast(Intervention, part) for part in self.terms(batch).values()]
        return Combined(parts) if parts else None

    def rewrite(self, batch: Any) -> Questions | None:
        """Prompts rewritten by one part after the other."""
        changed: Questions | None = None
        for term in self._terms:
            part = self.parts.get(term.name)
            if part is not None:
                now = batch if changed is None else replace(batch, questions=changed)
                rewritten = part.rewrite(self._aimed(now, term))
                changed = changed if rewritten is None else rewritten
        if changed is not None:  # whoever is spoken as, the answers belong to the personas that were asked for
            changed = replace(changed, personas=batch.questions.personas)
        return changed

    def _aimed(self, batch: Any, term: Term) -> Any:
        """The batch with the personas that a term steers towards."""
        if not term.levels:
            return batch
        personas = (self._persona(term),) * len(batch.questions)
        return replace(batch, questions=replace(batch.questions, personas=personas))

    def _persona(self, term: Term) -> Persona:
        try:
            levels: Mapping[str, float] = {_trait(name): level for name, level in term.levels.items()}
            if len(levels) == 1:
                return Persona.trait(*next(iter(levels.items())))
            return Persona(term.label, levels)
        except ValueError as error:
            raise InputError(
                "the formula names a trait that there is not",
                field="formula",
                expected="traits or facets, with levels from -1 to 1",
                got=str(error),
                fix="correct the formula",
            ) from error


def _trait(word: str) -> str:
    """The trait or facet that a word of a formula stands for, with `_` for what no word can hold.

    Example:
        >>> _trait("openness"), _trait("activity_level"), _trait("self_discipline")
        ('openness', 'activity level', 'self-discipline')
    """
    names = (word, word.replace("_", " "), word.replace("_", "-"))
    return next((name for name in names if name in TRAIT_OF_FACET), word)
