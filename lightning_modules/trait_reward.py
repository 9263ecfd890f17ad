"""A reward for the trait that speaks in an answer, as a classifier reads it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from files.errors import InputError
from lightning_modules.rewards import Records, Reward
from lm.chat import Chat
from lm.classifier import ClassifierSpec, TraitClassifier
from personas.traits import TRAITS

BUILT_IN = "assets/tiny-classifier"
_OPTION = "model.init_args.rewards.init_args"


class TraitReward(Reward):
    """Probability of the wanted end of a trait minus that of its other end, from -1 to 1.

    It is the `trait_expression` of evaluations. Where the classifier does not know the other end, only the first part.

    Args:
        trait: The trait that is to speak in every answer.
        high: Whether its high end is wanted, or its low one.
        classifier: Which classifier reads the answers; the built-in one where left out.
        weight: Of this reward in the sum.
    """

    def __init__(
        self, trait: str, high: bool = True, classifier: ClassifierSpec | None = None, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.trait = trait
        self.high = high
        self.spec = classifier or ClassifierSpec(BUILT_IN)
        self._reader: TraitClassifier | None = None

    def prepare(self) -> None:
        """Load the classifier, and see that it knows the trait.

        Raises:
            InputError: It cannot be loaded, or does not know the wanted end of the trait.
        """
        try:
            self._reader = TraitClassifier(self.spec, TRAITS)
        except InputError as error:
            if error.field is not None:
                error.field = error.field.replace("--", f"{_OPTION}.")
            raise
        if self._pole(self.high) not in self._reader.poles:
            raise InputError(
                f"the classifier {self.spec.name} does not know this end of the trait",
                field=f"{_OPTION}.trait",
                expected=f"one of {', '.join(self._reader.poles)}",
                got=self._pole(self.high),
                fix="name another trait, or a classifier that knows this one",
            )

    def score(self, prompts: Sequence[Chat], answers: Sequence[str], records: Records) -> Sequence[float]:  # noqa: ARG002
        """How much more the wanted end speaks in each answer than the other."""
        if self._reader is None:
            self.prepare()
        if self._reader is None:
            raise RuntimeError("the classifier was not loaded")
        shares, poles = self._reader.probabilities(answers), self._reader.poles
        wanted, other = self._pole(self.high), self._pole(not self.high)
        against = shares[:, poles.index(other)] if other in poles else torch.zeros(len(answers), dtype=shares.dtype)
        found: list[float] = (shares[:, poles.index(wanted)] - against).tolist()
        return found

    def _pole(self, high: bool) -> str:
        return f"{self.trait}{'+' if high else '-'}"
