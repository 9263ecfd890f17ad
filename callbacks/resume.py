"""Resuming bit for bit: random numbers and the place in the data go on where the checkpoint was written."""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class ExactResume(Callback):
    """Keeps the states of torch's and Python's generators in the checkpoint and restores them when training starts.

    It also hands the data loader the place that Lightning keeps for it. Lightning does so when it sets the loader up,
    but a module that asks for `trainer.estimated_stepping_batches` makes it set up the loader before the place is
    known, and the data would silently start over.

    Under several processes only the first one's state is stored; draws that must differ between processes and survive a
    resume are to be seeded from (seed, step, rank) where they are made.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The states now."""
        state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts: what happens before then draws numbers too."""
        self._restored = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the states of the checkpoint, once."""
        loop = trainer.fit_loop
        if loop._combined_loader_states_to_load and loop._combined_loader is not None:
            loop._combined_loader._load_state_dicts(loop._combined_loader_states_to_load)
            loop._combined_loader_states_to_load = []
        if self._restored is None:
            return
        torch.set_rng_state(self._restored["torch"].cpu())
        version, numbers, gauss = self._restored["python"]
        random.setstate((version, tuple(numbers), gauss))
        if "cuda" in self._restored and torch.cuda.device_count() == len(self._restored["cuda"]):
            torch.cuda.set_rng_state_all([state.cpu() for state in self._restored["cuda"]])
        self._restored = None
