"""How far a run in another process has come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Progress(Callback):
    """Writes the number of steps taken to a file, at the start of every batch.

    Args:
        file: Where to.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.file.write_text(str(trainer.global_step))


def steps_taken(file: Path) -> int:
    """What was last written there; -1 before the first batch."""
    text = file.read_text() if file.is_file() else ""
    return int(text) if text else -1
