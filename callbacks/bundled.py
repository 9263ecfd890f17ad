"""Steering by a bundle from a file, whatever method made it."""

from __future__ import annotations

from typing import Any

from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from files.provenance import data_hash
from interventions.bundle import Bundle, load_bundle


class Bundled(SteeringCallback):
    """Steers each record by the persona of its name in a bundle; a bundle of one persona steers them all.

    Args:
        file: The bundle.
        strength: Multiplies it; 0 leaves the model as it is.
        other_weights: Accept a bundle of a model of the same sizes with other weights, such as a quantised one.
    """

    method = "bundle"

    def __init__(self, file: str, strength: float = 1.0, other_weights: bool = False) -> None:
        self.file = file
        self.strength = strength
        self.other_weights = other_weights
        self.bundle: Bundle | None = None

    def settings(self) -> dict[str, Any]:
        """The bundle's content and the strength."""
        return {"bundle": data_hash(self.file), "strength": self.strength}

    def fit(self) -> None:
        """Load the bundle.

        Raises:
            InputError: If it is missing, damaged, or made for another model.
        """
        self.bundle = load_bundle(self.file, self.evaluation.lm, other_weights=self.other_weights)

    def intervene(self, batch: Any) -> RowIntervention:
        """The row of each record's persona.

        Raises:
            InputError: If the bundle does not have it.
        """
        if self.bundle is None:
            raise RuntimeError("expected `fit` before `intervene`")
        names = batch.questions.ids
        if len(self.bundle.personas) == 1:
            names = self.bundle.personas * len(names)
        unknown = [name for name in names if name not in self.bundle.personas]
        if unknown:
            raise InputError(
                "the bundle has no persona of a record's name",
                file=self.file,
                expected=", ".join(self.bundle.personas[:5]),
                got=unknown[0],
                fix="give the bundle that was made for these people, or one of a single persona",
            )
        rows = [self.bundle.personas.index(name) for name in names]
        return self.strength * self.bundle.intervention.rows(rows).to(self.evaluation.lm.device)
