"""Supervised fine-tuning on chats: next-token prediction on packed rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from lightning_modules.base import PersonaModule
from lightning_modules.schedules import warmup_cosine
from lm.chat import IGNORED_LABEL
from lm.loading import LMSpec
from lm.packing import LossOn, PackedBatch


class SFTModule(PersonaModule):
    """Trains the language model to write the chats of a corpus.

    Args:
        lm: The language model, with random weights to train one from scratch.
        loss_on: What is learnt: every token of a chat, or the assistant's answers alone.
        learning_rate: Peak learning rate.
        weight_decay: Decay of the weight matrices; norms and biases have none.
        betas: Memory of AdamW's two moments.
        warmup_steps: Optimizer steps until the peak, from where a cosine leads down over the rest of the run.
        final_share: Share of the peak learning rate that is left at the end.
        compile_up_to: Rows up to this width run through torch.compile, which takes half a minute per width and then
            saves a quarter of each step; 0 compiles nothing.
    """

    def __init__(
        self,
        lm: LMSpec,
        loss_on: LossOn = "all",
        learning_rate: float = 3e-4,
        weight_decay: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.95),
        warmup_steps: int = 100,
        final_share: float = 0.0,
        compile_up_to: int = 0,
    ) -> None:
        super().__init__(lm)
        self.loss_on: LossOn = loss_on
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.warmup_steps = warmup_steps
        self.final_share = final_share
        self.compile_up_to = compile_up_to
        self._compiled: Callable[..., Tensor] | None = None

    def on_fit_start(self) -> None:
        """Switch the model to training mode, which loading and the Trainer leave off."""
        self.lm.train()

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Summed loss of the batch over the targets a batch of this stream usually has."""
        labels = batch.labels(self.loss_on)
        total = self._total_loss(batch, labels)
        mean = total.detach() / (labels != IGNORED_LABEL).sum().clamp(min=1)
        self.log("train/loss", mean, prog_bar=True, batch_size=len(batch))
        return total / batch.usual_targets[self.loss_on]

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Log the mean loss per token, of all text and of answers."""
        for name, labels in (("val/loss", batch.labels("all")), ("val/answer_loss", batch.labels("assistant"))):
            count = int((labels != IGNORED_LABEL).sum())
            if count:
                total = summed_loss(self.lm, batch.input_ids, batch.position_ids, labels)
                self.log(name, total / count, prog_bar=True, batch_size=count, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warmup and a cosine over the steps that the Trainer is set to run."""
        optimizer = AdamW(
            decayed_groups(self, self.weight_decay),
            lr=self.learning_rate,
            betas=self.betas,
            # The fused step undoes the scaling of 16-bit gradients itself, after they would have been clipped.
            fused=self.trainer.precision != "16-mixed",
        )
        factor = partial(
            warmup_cosine,
            total_steps=int(self.trainer.estimated_stepping_batches),
            warmup_steps=self.warmup_steps,
            final_share=self.final_share,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step", "name": "learning_rate"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm over everything trained, and log it; Lightning's own way refuses fused optimisers."""
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = clip_grad_norm_(trained, gradient_clip_val or float("inf"))
        self.log("train/gradient_norm", norm)

    def _total_loss(self, batch: PackedBatch, labels: Tensor) -> Tensor:
        loss: Callable[..., Tensor] = summed_loss
        if batch.input_ids.shape[1] <= self.compile_up_to:
            # One compilation per width: a data module that pads to few widths keeps their number small.
            self._compiled = self._compiled or torch.compile(summed_loss, dynamic=False)
            loss = self._compiled
        return loss(self.lm, batch.input_ids, batch.position_ids, labels)


def summed_loss(lm: PreTrainedModel, input_ids: Tensor, position_ids: Tensor, labels: Tensor) -> Tensor:
    """Negative log-likelihood of the labels, summed, in float32.

    Args:
        lm: A language model.
        input_ids: Packed rows (B, T).
        position_ids: Positions that start anew with every chat (B, T).
        labels: The ids to predict, -100 where nothing is (B, T).

    Returns:
        A scalar.
    """
    logits = lm(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits
    return F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )


def decayed_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What is trained, as one group with weight decay (matrices) and one without (norms and biases).

    >>> [len(group["params"]) for group in decayed_groups(nn.Linear(2, 3), 0.1)]
    [1, 1]
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
