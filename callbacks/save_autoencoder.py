"""Writes a trained sparse autoencoder as a SAELens folder, for steering and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from files.atomic import ensure_writable_folder
from interventions.autoencoder_files import write_autoencoder


class SaveAutoencoder(Callback):
    """Exports the autoencoder with every checkpoint and when training ends.

    Args:
        folder: Where to, below the folder of the run.
    """

    def __init__(self, folder: str = "sae") -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prove that the folder can be written before any work is done."""
        if trainer.is_global_zero:
            ensure_writable_folder(self._target(trainer))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Export beside the checkpoint."""
        self._export(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export what was trained."""
        self._export(trainer, pl_module)

    def _export(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        if trainer.is_global_zero and callable(getattr(module, "trained", None)):
            write_autoencoder(self._target(trainer), module.trained(), module.chosen_layer, module.lm_spec.name)

    def _target(self, trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / self.folder
