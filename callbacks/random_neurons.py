"""A control: as many neurons as NPTI takes in each layer, pushed by the same amounts, but drawn at random."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.npti import NPTI
from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from interventions.neurons import InduceNeurons
from personas.persona import Persona

DRAWS = 16


class RandomNeurons(SteeringCallback):
    """Does what the NPTI it stands beside does, with every layer's neurons exchanged for others at random.

    What NPTI gains over it is owed to which neurons it takes, not to the disturbance: in every layer as many neurons
    are pushed, by the same amounts, and as many are held. Each item of a benchmark gets one of several draws, the same
    for all its personas: a single one may happen to suit a trait, and its interval would not know.

    Args:
        seed: Seed of the draws.
    """

    method = "random_neurons"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.control_of: NPTI | None = None

    def settings(self) -> dict[str, Any]:
        """The draws, and what the numbers come from."""
        drawn = {"seed": self.seed, "draws": DRAWS}
        return {**drawn, "control_of": self.control_of.settings() if self.control_of else None}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the NPTI whose control this is, and take part in the evaluation.

        Raises:
            InputError: There is none.
        """
        found = [one for one in trainer.callbacks if isinstance(one, NPTI)]  # type: ignore[attr-defined]
        if not found:
            raise InputError(
                f"the method {self.method} is the control of another one, which is not there",
                field="trainer.callbacks",
                expected="callbacks.npti.NPTI",
                fix="add the method, or leave its control out",
            )
        self.control_of = found[0]
        super().on_test_start(trainer, pl_module)

    def refusal(self, persona: Persona) -> str | None:
        """As NPTI itself."""
        return self.control_of.refusal(persona) if self.control_of is not None and self.control_of.found else None

    def intervene(self, batch: Any) -> RowIntervention | None:
        """The neurons drawn for each record, moved as its persona's are."""
        if self.control_of is None:
            return None
        questions = batch.questions
        rows = list(zip(questions.personas, map(self._draw_for, questions.items()), strict=True))
        kinds = list(dict.fromkeys(rows))
        induced = self.induced([persona.trait_levels() for persona, _ in kinds], [draw for _, draw in kinds])
        return self.control_of.limited(induced.rows([kinds.index(row) for row in rows]))

    def induced(self, levels: Sequence[Mapping[str, float]], draws: Sequence[int]) -> InduceNeurons:
        """What is done to the neurons of personas, one row each, at the strength of the method.

        Args:
            levels: Of traits whose neurons are known.
            draws: The number of each row's draw.

        Raises:
            RuntimeError: Before the evaluation has begun.
        """
        if self.control_of is None:
            raise RuntimeError(f"{type(self).__name__} stands beside no NPTI yet")
        amounts, ceilings = self.control_of.moves(levels)
        orders = {draw: self._order(draw, amounts.shape[1:]) for draw in dict.fromkeys(draws)}
        order = torch.stack([orders[draw] for draw in draws])
        return self.control_of.inducing(amounts.gather(-1, order), ceilings.gather(-1, order))

    def _draw_for(self, item: str) -> int:
        return random.Random(f"{self.seed}/{item}").randrange(DRAWS)  # noqa: S311

    def _order(self, draw: int, shape: Sequence[int]) -> Tensor:
        """Whose numbers each neuron gets, within its layer (L, W)."""
        generator = torch.Generator().manual_seed(random.Random(f"{self.seed}/{draw}").getrandbits(48))  # noqa: S311
        return torch.rand(tuple(shape), generator=generator).argsort(-1)
