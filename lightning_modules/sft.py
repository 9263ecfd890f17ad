"""Supervised fine-tuning on chats: next-token prediction on packed rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import (
    check_optimizer_settings,
    clip_and_log,
    decayed_groups,
    muon_with_adamw,
    on_schedule,
)
from lightning_modules.shards import averaged, weight_in_mean
from lm.loading import LMSpec
from lm.packing import PackedBatch
from lm.target_log_probs import target_log_probs


class SFTModule(PersonaModule):
    """Trains the language model to write the chats of a corpus.

    Args:
        lm: The language model, with random weights to train one from scratch.
        prompt_weight: Weight of a token that is no answer, from 0 (the assistant's answers alone are learnt) to 1 (all
            text alike). In between, the model learns to read what it is asked without spending itself on guessing it.
        full_answer: Answers of fewer tokens weigh more, each token by the square root of the ratio; 0 weighs all tokens
            of answers alike.
        optimizer: `adamw`, or `muon`: Muon for the matrices of the decoder blocks and AdamW for the rest.
        learning_rate: Peak learning rate.
        matrix_learning_rate: Peak learning rate of Muon, in AdamW's units.
        weight_decay: Decay of the weight matrices; norms and biases have none.
        betas: Memory of AdamW's two moments.
        warmup_steps: Optimizer steps until the peak, from where a cosine leads down over the rest of the run.
        final_share: Share of the peak learning rate that is left at the end.
        compile_up_to: Rows up to this width run through torch.compile, which takes half a minute per width and then
            saves a quarter of each step; 0 compiles nothing.
        init_from: A run or checkpoint to begin with; the model as it is stored where it is left out.
    """

    shared_parts = ("lm",)

    def __init__(
        self,
        lm: LMSpec,
        prompt_weight: float = 1.0,
        full_answer: int = 0,
        optimizer: Literal["adamw", "muon"] = "adamw",
        learning_rate: float = 3e-4,
        matrix_learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.95),
        warmup_steps: int = 100,
        final_share: float = 0.0,
        compile_up_to: int = 0,
        init_from: str | None = None,
    ) -> None:
        super().__init__(lm, init_from)
        check_optimizer_settings(
            betas=betas,
            learning_rate=learning_rate,
            matrix_learning_rate=matrix_learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            final_share=final_share,
        )
        self.prompt_weight = prompt_weight
        self.full_answer = full_answer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.matrix_learning_rate = matrix_learning_rate
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
        weights = batch.weights(self.prompt_weight, self.full_answer)
        total = self._total_loss(batch, weights)
        self.log("train/loss", total.detach() / weights.sum().clamp(min=1), prog_bar=True, batch_size=len(batch))
        usual = batch.usual_weight(self.prompt_weight)
        if batch.of_its_own and self.trainer.world_size > 1:
            # Gradients of processes are averaged; with the mean count every token of the step weighs the same.
            return total / averaged(torch.tensor(usual, device=total.device))
        return total / usual

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Log the mean loss per token, of all text and of answers."""
        for name, weights in (("val/loss", batch.weights(1.0)), ("val/answer_loss", batch.weights(0.0))):
            count = int(weights.sum())
            # Of several processes all pass through the model and log, the one with nothing to count as well.
            if count or self.trainer.world_size > 1:
                total = summed_loss(self.lm, batch.input_ids, batch.position_ids, weights)
                mean, weight = total / max(1, count), weight_in_mean(count)
                self.log(name, mean, prog_bar=True, batch_size=weight, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """The optimizer with warmup and a cosine over the steps that the Trainer is set to run."""
        return on_schedule(self, self._optimizer(), self.warmup_steps, self.final_share)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm over everything trained, and log it."""
        clip_and_log(self, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _optimizer(self) -> Optimizer:
        if self.optimizer == "adamw":
            # The fused step undoes the scaling of 16-bit gradients itself, after they would have been clipped.
            fused = self.trainer.precision != "16-mixed"
            groups = decayed_groups(self, self.weight_decay)
            return AdamW(groups, lr=self.learning_rate, betas=self.betas, fused=fused)
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        ends = {id(parameter) for parameter in (*self.lm.get_input_embeddings().parameters(), *self._head())}
        hidden = [parameter for parameter in trained if parameter.ndim == 2 and id(parameter) not in ends]
        inside = {id(parameter) for parameter in hidden}
        return muon_with_adamw(
            hidden,
            [parameter for parameter in trained if id(parameter) not in inside],
            learning_rate=self.learning_rate,
            matrix_learning_rate=self.matrix_learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
        )

    def _head(self) -> list[nn.Parameter]:
        head = self.lm.get_output_embeddings()
        return [] if head is None else list(head.parameters())

    def _total_loss(self, batch: PackedBatch, weights: Tensor) -> Tensor:
        if self.prompt_weight == 0 and not self.compile_up_to:
            return answers_loss(self.lm, batch.input_ids, batch.position_ids, weights)
        loss: Callable[..., Tensor] = summed_loss
        if batch.input_ids.shape[1] <= self.compile_up_to:
            # One compilation per width: a data module that pads to few widths keeps their number small.
            self._compiled = self._compiled or torch.compile(summed_loss, dynamic=False)
            loss = self._compiled
        return loss(self.lm, batch.input_ids, batch.position_ids, weights)


def summed_loss(lm: PreTrainedModel, input_ids: Tensor, position_ids: Tensor, weights: Tensor) -> Tensor:
    """Weighted negative log-likelihood of the tokens, summed, in float32.

    Args:
        lm: A language model.
        input_ids: Packed rows (B, T).
        position_ids: Positions that start anew with every chat (B, T).
        weights: Weight of each token as a target (B, T); 0 where nothing is predicted.

    Returns:
        A scalar.
    """
    logits = lm(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits
    losses = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), input_ids[:, 1:].flatten(), reduction="none")
    return losses @ weights[:, 1:].flatten()


def answers_loss(lm: PreTrainedModel, input_ids: Tensor, position_ids: Tensor, weights: Tensor) -> Tensor:
    """The same sum where most tokens weigh nothing: the output layer runs only where a target is to be predicted.

    Args:
        lm: A language model.
        input_ids: Rows padded on the right, packed or not (B, T).
        position_ids: Positions that start anew with every chat (B, T).
        weights: Weight of each token as a target (B, T).

    Returns:
        A scalar.
    """
    targets = weights > 0
    return -target_log_probs(lm, input_ids, targets, position_ids) @ weights[:, 1:][targets[:, 1:]]
