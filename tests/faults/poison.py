"""A loss that stops being a number."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class Poison(Callback):
    """Makes the gradients of a step no numbers.

    Args:
        step: Which.
    """

    def __init__(self, step: int = 2) -> None:
        self.step = step

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter in pl_module.parameters() if trainer.global_step == self.step else ():
            if isinstance(parameter.grad, Tensor):
                parameter.grad.mul_(float("nan"))
