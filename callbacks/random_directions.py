"""The control of methods that steer along directions: random ones of the same length, layer by layer."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from callbacks.directions import DirectionSteering
from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from interventions.applied import Intervention
from interventions.random_directions import random_directions
from personas.persona import Persona


class RandomDirections(SteeringCallback):
    """Steers as the method it stands beside does, but along random directions of the same length.

    What the method gains over it is owed to where its directions point, not to the disturbance. Each item of a
    benchmark gets a line of its own for each trait: a single one may happen to suit a trait, and its interval would not
    know. Both ends of a trait are steered along one line, in opposite directions.

    Args:
        seed: Seed of the draws.
    """

    method = "random_direction"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.control_of: DirectionSteering | None = None

    def settings(self) -> dict[str, Any]:
        """The seed, and what the lengths come from."""
        drawn = {"seed": self.seed, "lines": "one for each item"}
        return {**drawn, "control_of": self.control_of.settings() if self.control_of else None}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the method whose control this is, and take part in the evaluation.

        Raises:
            InputError: There is none.
        """
        found = [one for one in trainer.callbacks if isinstance(one, DirectionSteering)]  # type: ignore[attr-defined]
        if not found:
            raise InputError(
                f"the method {self.method} is the control of another one, which is not there",
                field="trainer.callbacks",
                expected="callbacks.repe.RepE or callbacks.sae_steering.SAESteering",
                fix="add the method, or leave its control out",
            )
        self.control_of = found[0]
        super().on_test_start(trainer, pl_module)

    def refusal(self, persona: Persona) -> str | None:
        """As the method itself."""
        return self.control_of.refusal(persona) if self.control_of is not None and self.control_of.names else None

    def intervene(self, batch: Any) -> RowIntervention | None:
        """The method's own intervention along other lines."""
        if self.control_of is None:
            return None
        planned = self.control_of.intervene(batch)
        if not isinstance(planned, Intervention):
            return None
        personas, items = batch.questions.personas, batch.questions.items()
        keys = [f"{who.main_trait or who.name}/{item}" for who, item in zip(personas, items, strict=True)]
        signs = [-1 if who.main_trait is not None and sum(who.levels.values()) < 0 else 1 for who in personas]
        return random_directions(planned, keys, signs, self.seed)
