"""Stops a run at the first loss or gradient that is no finite number, before it reaches the weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from callbacks.run_folder import CHECKPOINTS, LAST
from files.errors import InputError

_SHOWN = 16


class FiniteTraining(Callback):
    """Stops with the records of the step that went wrong; the last checkpoint is from before it.

    The loss is looked at before the gradients are taken, the gradients before the step, and the weights before they are
    written. Gradients in half precision are left to the scaler, which skips such steps by itself, and those that
    processes share out to the two other looks.
    """

    def __init__(self) -> None:
        self._window: list[str] = []
        self._batch = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember whose turn it is."""
        self._batch = batch_idx
        self._window += _records(trainer)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss.

        Raises:
            InputError: It is no finite number.
        """
        if not bool(loss.detach().isfinite().all()):
            raise self._stopped(trainer, "the loss is no finite number", float(loss.detach().flatten()[0]))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look at the gradients.

        Raises:
            InputError: One is no finite number.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        shared = any(isinstance(gradient, DTensor) for gradient in gradients)
        if gradients and not shared and trainer.precision != "16-mixed":
            norm = get_total_norm(gradients)
            if not bool(norm.isfinite()):
                raise self._stopped(trainer, "the gradient is no finite number", float(norm))
        self._window = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Look at the weights that are to be written.

        Raises:
            InputError: One is no finite number; nothing is written.
        """
        trained = {name for name, _ in pl_module.named_parameters()}
        state = checkpoint.get("state_dict", {})
        broken = [name for name in sorted(trained & state.keys()) if not _is_finite(state[name])]
        if broken:
            raise self._stopped(trainer, f"weights are no finite numbers ({broken[0]})", float("nan"))

    def _stopped(self, trainer: Trainer, problem: str, got: float) -> InputError:
        """What happened, where, and how to go on."""
        last = Path(trainer.default_root_dir) / CHECKPOINTS / LAST
        kept = f"; the last good checkpoint is {last}" if last.is_file() else ""
        records = ", ".join(self._window[:_SHOWN]) + (", ..." if len(self._window) > _SHOWN else "")
        return InputError(
            f"{problem}, so the run was stopped before it could spoil the weights",
            row=f"step {trainer.global_step}, batch {self._batch} of epoch {trainer.current_epoch}",
            field=records or None,
            expected="a finite number",
            got=got,
            fix=f"look at these records, lower the learning rate or clip gradients (trainer.gradient_clip_val){kept}",
        )


def _records(trainer: Trainer) -> Iterable[str]:
    """The records of the batch that was taken last, as the data module calls them."""
    taken = getattr(trainer.train_dataloader, "taken", None)
    named = getattr(getattr(trainer, "datamodule", None), "names_of", None)
    return named(taken) if isinstance(taken, list) and named is not None else []


def _is_finite(value: Any) -> bool:
    if not isinstance(value, Tensor) or isinstance(value, DTensor) or not value.is_floating_point():
        return True
    return bool(torch.isfinite(value).all())
