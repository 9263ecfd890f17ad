"""A control: as many neurons as NPTI takes in each layer, pushed by the same amounts, but drawn at random."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.npti import NPTI
from interventions.neuron_selection import NeuronSet


class RandomNeurons(NPTI):
    """NPTI with every layer's neurons exchanged for others at random.

    What NPTI gains over it is owed to which neurons it takes, not to the disturbance: in every layer as many neurons
    are pushed, by the same amounts, and as many are held. Takes the options of NPTI; where an NPTI with the same ones
    takes part in the evaluation, its neurons are used and not searched for again.
    """

    method = "random_neurons"

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over what an equal NPTI of this evaluation has found."""
        for other in trainer.callbacks:  # type: ignore[attr-defined]  # a list that the Trainer is given from outside
            if type(other) is NPTI and other.found and other.settings() == self.settings():
                self.found = dict(other.found)
        super().on_test_start(trainer, pl_module)

    def _read(self) -> dict[tuple[str, int], NeuronSet]:
        return self.found or super()._read()

    def _search(self) -> dict[tuple[str, int], NeuronSet]:
        return self.found or super()._search()

    def _tables(self) -> tuple[Tensor, Tensor]:
        """The tables of NPTI with the neurons of each layer exchanged, alike for all traits."""
        amounts, members = super()._tables()
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.rand(amounts.shape[1:], generator=generator).argsort(-1).expand_as(amounts)
        return amounts.gather(-1, order), members.gather(-1, order)
