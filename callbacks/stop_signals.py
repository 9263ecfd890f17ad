"""What a job scheduler's signals do to a training run: a checkpoint after the step, and back into the queue."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from callbacks.run_folder import CHECKPOINTS, LAST

_log = logging.getLogger(__name__)
_SIGNALS = ("SIGUSR1", "SIGTERM")


class StopSignals(Callback):
    """Ends a run on SIGUSR1 and SIGTERM, with a checkpoint that the next start goes on from.

    A signal may reach one process of several and at any moment. It is only noted; after each optimizer step the
    processes tell one another, so that all of them stop behind the same one. The run is left unfinished, as
    after an interruption.

    Args:
        requeue: On SIGUSR1, which SLURM sends before the time limit, put the job back into SLURM's queue. A preempted
            job (SIGTERM) is put back by SLURM itself.
    """

    def __init__(self, requeue: bool = True) -> None:
        self.requeue = requeue
        self._noted: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over."""
        for name in _SIGNALS:
            if hasattr(signal, name):
                number = signal.Signals[name]
                self._before[number] = signal.signal(number, self._note)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here if any process was told to.

        Raises:
            SystemExit: One was.
        """
        # Gradients that wait for a step are in no checkpoint, so the step is made first.
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return
        told = self._told(trainer)
        if told is None:
            return
        path = Path(trainer.default_root_dir) / CHECKPOINTS / LAST
        trainer.save_checkpoint(path)
        job = os.environ.get("SLURM_JOB_ID")
        if told is signal.SIGUSR1 and self.requeue and job is not None and trainer.is_global_zero:
            requeue(job)
        _log.warning("stopped by %s after step %d; %s holds everything", told.name, trainer.global_step, path)
        raise SystemExit(128 + told)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._give_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._give_back()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted = signal.Signals(number)

    def _told(self, trainer: Trainer) -> signal.Signals | None:
        """What any process was told, the largest number if several things."""
        number = 0 if self._noted is None else int(self._noted)
        if distributed.is_available() and distributed.is_initialized():
            numbers = torch.tensor(number, device=trainer.strategy.root_device)
            distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
            number = int(numbers)
        return signal.Signals(number) if number else None

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def requeue(job: str) -> None:
    """Put a job of SLURM back into its queue; if that fails it is said, and the checkpoint is there all the same.

    Args:
        job: Its number.
    """
    program = shutil.which("scontrol")
    if program is None:
        _log.warning("the job is not put back into the queue: scontrol is not on the path")
        return
    done = subprocess.run([program, "requeue", job], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        _log.warning("the job is not put back into the queue: scontrol said %s", done.stderr.strip())
