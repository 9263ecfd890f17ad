"""The progress bar of a training."""

from __future__ import annotations

from lightning.pytorch.callbacks import RichProgressBar


class TrainingProgressBar(RichProgressBar):
    """Names the last epoch only where epochs end the training; where steps do, there is none to name.

    Args:
        leave: Whether the bar of each epoch stays when the next one begins.
    """

    def __init__(self, leave: bool = False) -> None:
        super().__init__(leave=leave)

    def _get_train_description(self, current_epoch: int) -> str:
        last = self.trainer.max_epochs
        if last is None or last > 0:
            return super()._get_train_description(current_epoch)
        return f"Epoch {current_epoch}".ljust(len(self.validation_description))
