"""A training that is timed batch by batch, with a plain reference on the same batches in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.figures import CLOCKS

# The first batches ask for memory and load what is loaded at first use.
WARM_UP = 1


class Beside(Callback):
    """Times every batch of a training by the Trainer, and what a reference does with the same batch right after it.

    Ours is from the batch in hand to the end of its last optimizer step, with all that the module logs.

    Args:
        begin: Builds the reference from the module before its first batch; what it returns is called with each batch.
        clock: A name in `CLOCKS`.

    Attributes:
        seconds: For each batch after the first ones the time of ours and of the reference.
        counted: For each of them what the reference returned.
        first: What our module and the reference returned for the very first batch.
    """

    def __init__(self, begin: Callable[[Any], Callable[[Any], float]], clock: str = "wall") -> None:
        self.begin = begin
        self.clock = CLOCKS[clock]
        self.seconds: list[tuple[float, float]] = []
        self.counted: list[float] = []
        self.first: tuple[Any, float] | None = None
        self._reference: Callable[[Any], float] | None = None
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - a Lightning hook
        """Build the reference."""
        self._reference = self.begin(pl_module)

    def on_train_batch_start(self, *arguments: Any) -> None:  # noqa: ARG002
        """Begin to count."""
        self._started = self.clock()

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop counting, and give the batch to the reference."""
        middle = self.clock()
        if self._reference is None:
            raise RuntimeError("the training has not begun")
        with torch.enable_grad():
            found = self._reference(batch)
        if self.first is None:
            self.first = outputs, found
        if batch_idx >= WARM_UP:
            self.seconds.append((middle - self._started, self.clock() - middle))
            self.counted.append(found)


def bare_trainer(steps: int, **settings: Any) -> Trainer:
    """A Trainer on the CPU that writes, shows and checks nothing.

    Args:
        steps: Optimizer steps.
        settings: Further ones of the Trainer.
    """
    usual: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{**usual, **settings},
    )
