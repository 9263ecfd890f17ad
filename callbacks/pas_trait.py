"""PAS for a trait and a level: the shift of somebody who answers a questionnaire at that level."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from callbacks.pas_described import trained_pas
from callbacks.steering import RowIntervention, SteeringCallback
from files.provenance import data_hash
from personas.item_key import read_item_key
from personas.people import PeopleBatch, person_at
from personas.persona import Persona
from personas.questionnaire import DESCRIBING, SCORED, Questionnaire, read_split, split_items
from personas.questions import Questions
from personas.wording import Wording


class TraitPAS(SteeringCallback):
    """Speaks as a synthetic person who answers every item of the trait at the level asked for, and others neutrally.

    The checkpoint brings the settings of PAS; people that it does not know are learnt when they are first asked for.

    Args:
        item_key: The items of the questionnaire.
        split: Which of them describe a person.
        strength: How strongly to shift, in place of the strengths at which such people answer the questionnaire best:
            what makes answers more like theirs need not be what makes speech so.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, ICLR 2025 (PAS).
    """

    method = "pas"

    def __init__(
        self,
        item_key: str = "assets/data/papi/IPIP-NEO-ItemKey.csv",
        split: str = "assets/data/papi/mpi_300_split.json",
        strength: float | None = None,
    ) -> None:
        self.item_key = item_key
        self.split = split
        self.strength = strength
        self.wording = Wording()
        self.questionnaire = Questionnaire((), ())

    def settings(self) -> dict[str, Any]:
        """The questionnaire, and how strongly to shift."""
        return {"questionnaire": data_hash([Path(self.item_key), Path(self.split)]), "strength": self.strength}

    def fit(self) -> None:
        """Read the questionnaire, and see that the checkpoint is one of PAS.

        Raises:
            InputError: If a file is faulty, the checkpoint is another method's, or there is none.
        """
        trained_pas(self.evaluation.trained, self.method)
        numbers = read_split(self.split)
        items = read_item_key(self.item_key, [*numbers[DESCRIBING], *numbers[SCORED]])
        self.questionnaire = split_items(numbers, items, self.split)

    def refusal(self, persona: Persona) -> str | None:
        """Somebody high or low on one trait that the questionnaire measures."""
        measured = list(dict.fromkeys(item.trait for item in self.questionnaire.described))
        if persona.main_trait in measured and any(persona.levels.values()):
            return None
        return f"somebody high or low on one of {', '.join(measured)}"

    def intervene(self, batch: Any) -> RowIntervention:
        """The shift of the synthetic person of each record."""
        wanted: Sequence[Persona] = batch.questions.personas
        numbers = {persona: number for number, persona in enumerate(dict.fromkeys(wanted))}
        pas = trained_pas(self.evaluation.trained, self.method)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* people are not in the PAS checkpoint")
            at = "plain" if self.strength is None else self.strength
            heads, vectors = pas.shifted_heads(self.people(list(numbers)), at)
        rows = torch.tensor([numbers[persona] for persona in wanted], device=heads.device)
        return pas.shift(heads[rows], vectors[rows])

    def people(self, personas: Sequence[Persona]) -> PeopleBatch:
        """A synthetic person for each persona, of whom nothing is asked."""
        people = tuple(person_at(self.questionnaire, persona, position) for position, persona in enumerate(personas))
        questions = Questions(tuple(persona.name for persona in personas), tuple(range(len(personas))), tuple(personas))
        return PeopleBatch(questions, people, self.questionnaire, self.wording)
