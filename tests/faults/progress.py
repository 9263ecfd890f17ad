"""How far a run in another process has come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer


class Progress(Callback):
    """Writes how far a run is to a file, at the start of every batch.

    Args:
        file: Where to.
        unit: Steps of the optimizer; or batches of the epoch, for methods without such steps.
    """

    def __init__(self, file: str, unit: Literal["steps", "batches"] = "steps") -> None:
        self.file = Path(file)
        self.unit = unit

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.file.write_text(str(trainer.global_step if self.unit == "steps" else batch_idx))


def steps_taken(file: Path) -> int:
    """What was last written there; -1 before the first batch."""
    text = file.read_text() if file.is_file() else ""
    return int(text) if text else -1
