"""Ctrl-C in the middle of a run, after a checkpoint."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class StopAfter(Callback):
    """Saves a checkpoint after some steps, as a saving callback does, and is interrupted one batch later.

    Args:
        steps: The steps.
    """

    def __init__(self, steps: int = 3) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/checkpoints/last.ckpt")
        if trainer.global_step > self.steps:
            raise KeyboardInterrupt
