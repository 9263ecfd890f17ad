"""Resuming bit for bit: random numbers and the place in the data go on where the checkpoint was written."""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.connectors.data_connector import _parse_num_batches
from lightning.pytorch.trainer.states import RunningStage


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

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave an epoch open that `max_steps` has ended in its middle, so that more steps go on with the rest of it.

        Lightning counts it as completed once it has stopped, and would begin the next one.
        """
        progress = checkpoint["loops"]["fit_loop"]
        batches, epochs = progress["epoch_loop.batch_progress"], progress["epoch_progress"]
        within = batches["current"]["ready"] > 0 and not batches["is_last_batch"]
        if not within or epochs["current"]["completed"] < epochs["current"]["started"]:
            return
        for counts in (epochs["current"], epochs["total"]):
            for stage in ("processed", "completed"):
                counts[stage] = counts["started"] - 1
        checkpoint["epoch"] -= 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the states of the checkpoint, once."""
        loop = trainer.fit_loop
        if loop._combined_loader_states_to_load and loop._combined_loader is not None:
            loop._combined_loader._load_state_dicts(loop._combined_loader_states_to_load)
            loop._combined_loader_states_to_load = []
        if self._restored is None:
            return
        _count_anew(trainer)
        torch.set_rng_state(self._restored["torch"].cpu())
        version, numbers, gauss = self._restored["python"]
        random.setstate((version, tuple(numbers), gauss))
        if "cuda" in self._restored and torch.cuda.device_count() == len(self._restored["cuda"]):
            torch.cuda.set_rng_state_all([state.cpu() for state in self._restored["cuda"]])
        self._restored = None


def _count_anew(trainer: Trainer) -> None:
    """Tell the Trainer how long the epoch is that it goes on with.

    It asked the loader before the loader knew its place, and another number of processes than began the epoch makes the
    rest of it shorter or longer.
    """
    loop = trainer.fit_loop
    loader, fetcher = loop._combined_loader, loop._data_fetcher
    if loader is None or fetcher is None:
        return
    limits = [
        _parse_num_batches(RunningStage.TRAINING, float(len(one)), trainer.limit_train_batches)
        for one in loader.flattened
        if hasattr(one, "load_state_dict")
    ]
    if len(limits) != len(loader.flattened) or limits == loader.limits:
        return
    loader.limits = limits
    batches = sized_len(loader)
    if batches is None:
        return
    loop.max_batches = fetcher.length = batches
    if isinstance(trainer.val_check_interval, float):
        trainer.val_check_batch = max(1, int(batches * trainer.val_check_interval))
