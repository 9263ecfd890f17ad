"""Direct preference optimisation: preferred answers become likelier than the others, measured against the start."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from files.errors import InputError
from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import adamw_on_schedule, check_optimizer_settings, clip_and_log
from lightning_modules.reference import FOLDER, KeptLogProbs, PairData, adapters_off, kept_log_probs, pair_log_probs
from lightning_modules.shards import weight_in_mean
from lightning_modules.starting import start_model
from lm.loading import LMSpec, load_model, without_adapter
from lm.passes import evaluating
from lm.preferences import PreferenceBatch
from losses.dpo import PairLogProbs, PairOptions, margins, preference_loss

Reference = Literal["precomputed", "adapter_off", "copy"]


class DPOModule(PersonaModule):
    """Trains a language model on pairs of answers.

    Args:
        lm: The language model.
        objective: What pairs are turned into.
        reference: Where the start's log-probabilities come from. precomputed: worked out once, before training, and
            kept in the run's folder. adapter_off: from the model without its adapter, at every step. copy: from a
            frozen copy of the start, at every step.
        learning_rate: Peak learning rate.
        weight_decay: Decay of the weight matrices; norms and biases have none.
        betas: Memory of AdamW's two moments.
        warmup_steps: Optimizer steps until the peak, from where a cosine leads down over the rest of the run.
        final_share: Share of the peak learning rate that is left at the end.
        init_from: A run or checkpoint to begin with, which the reference then is; the stored model where left out.
    """

    def __init__(
        self,
        lm: LMSpec,
        objective: PairOptions | None = None,
        reference: Reference = "precomputed",
        learning_rate: float = 5e-6,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        warmup_steps: int = 0,
        final_share: float = 0.0,
        init_from: str | None = None,
    ) -> None:
        super().__init__(lm, init_from)
        check_optimizer_settings(
            betas=betas,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            final_share=final_share,
        )
        self.objective = objective or PairOptions()
        self.reference = reference
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.warmup_steps = warmup_steps
        self.final_share = final_share
        self._kept: KeptLogProbs | None = None
        # In a list, so that it is no part of the module and of its checkpoints.
        self._copy: list[PreTrainedModel] = []

    @property
    def shared_parts(self) -> tuple[str, ...]:  # type: ignore[override]
        """The model, unless its reference is worked out beforehand: of that, processes may have unequal shares."""
        return () if self.reference == "precomputed" else ("lm",)

    def configure_model(self) -> None:
        """Load the model and, where the reference is a copy, copy it before any weights are restored."""
        if self.model_hash is not None:
            return
        self._check()
        super().configure_model()
        if self.reference == "copy":
            self._copy = [deepcopy(self.lm).requires_grad_(False).eval()]

    def on_fit_start(self) -> None:
        """Switch the model to training mode, and have the reference ready."""
        self.lm.train()
        self._prepare()

    def on_validation_start(self) -> None:
        """Have the reference ready where nothing is trained."""
        self._prepare()

    def training_step(self, batch: PreferenceBatch, batch_idx: int) -> Tensor:
        """The loss of a batch of pairs."""
        policy = pair_log_probs(self.lm, batch)
        reference = self.reference_of(batch, policy)
        loss = preference_loss(policy, reference, self.objective)
        self._log("train", loss, margins(policy, reference, self.objective.length_normalised), len(batch))
        return loss

    def validation_step(self, batch: PreferenceBatch, batch_idx: int) -> None:
        """Log the loss and the share of pairs in the right order; of a batch without pairs nothing is counted."""
        if not len(batch) and not self.shared_parts:
            # All processes log, or those that do would wait for the others.
            self._log("val", torch.zeros((), device=self.device), torch.zeros(1, device=self.device), 0)
            return
        policy = pair_log_probs(self.lm, batch)
        reference = self.reference_of(batch, policy)
        loss = preference_loss(policy, reference, self.objective)
        self._log("val", loss, margins(policy, reference, self.objective.length_normalised), len(batch))

    def configure_optimizers(self) -> Any:
        """AdamW with warmup and a cosine over the steps that the Trainer is set to run."""
        return adamw_on_schedule(
            self,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
            warmup_steps=self.warmup_steps,
            final_share=self.final_share,
        )

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm over everything trained, and log it."""
        clip_and_log(self, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def reference_of(self, batch: PreferenceBatch, policy: PairLogProbs) -> PairLogProbs:
        """How likely the start finds the answers of a batch, without gradient.

        Args:
            batch: The pairs.
            policy: The same under the model as it is now.
        """
        if self._kept is not None:
            return self._kept.of(batch.numbers, policy)
        lm = self._copy[0] if self._copy else self.lm
        with ExitStack() as stack:
            stack.enter_context(evaluating(lm))
            if not self._copy:
                stack.enter_context(adapters_off(lm))
            return pair_log_probs(lm, batch)

    def _check(self) -> None:
        try:
            self.objective.check()
        except ValueError as error:
            option, _, rest = str(error).partition(": ")
            raise InputError(rest, field=f"model.init_args.objective.{option}", fix="correct it") from error
        if self.reference == "adapter_off" and self.lm_spec == without_adapter(self.lm_spec):
            raise InputError(
                "there is no adapter to switch off",
                field="model.init_args.reference",
                expected="model.init_args.lm.lora beside it, or another reference",
                got=self.reference,
                fix="take precomputed or copy, or train an adapter",
            )

    def _prepare(self) -> None:
        if self._copy:
            self._copy[0].to(self.device)
        if self.reference != "precomputed" or self._kept is not None:
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, PairData):
            raise InputError(
                "the data module has no pairs",
                field="--data",
                expected="a data module such as datamodules.preferences.PreferenceDataModule",
                got=type(data).__name__,
                fix="name a data module of pairs",
            )
        precision = str(self.trainer.precision)
        self._kept = kept_log_probs(
            Path(self.trainer.default_root_dir) / FOLDER,
            {"model": self.model_hash, "start": self.start_hash, "dtype": self.lm_spec.dtype, "precision": precision},
            data,
            self._start,
            self._as_trained,
            batch_size=int(getattr(data, "batch_size", 8)),
            share=(self.trainer.global_rank, self.trainer.world_size),
        )

    def _start(self) -> PreTrainedModel:
        """The model as it was before training."""
        if self.lm_spec != without_adapter(self.lm_spec) or not self.trainer.ckpt_path:
            return self.lm
        # Trained weights have been restored into it by now: take the start from where it came.
        plain = without_adapter(self.lm_spec)
        lm = load_model(plain) if self.init_from is None else start_model(self.init_from, plain).lm
        return lm.to(self.device)

    def _as_trained(self) -> ExitStack:
        """Without the adapter, in the precision of the run."""
        with ExitStack() as stack:
            stack.enter_context(adapters_off(self.lm))
            stack.enter_context(self.trainer.precision_plugin.forward_context())
            return stack.pop_all()

    def _log(self, split: str, loss: Tensor, margin: Tensor, pairs: int) -> None:
        margin, pairs = margin.detach(), weight_in_mean(pairs)
        self.log(f"{split}/loss", loss.detach(), prog_bar=True, batch_size=pairs, sync_dist=split == "val")
        self.log(f"{split}/margin", margin.mean(), batch_size=pairs, sync_dist=split == "val")
        accuracy = (margin > 0).to(torch.float32).mean()
        self.log(f"{split}/accuracy", accuracy, prog_bar=True, batch_size=pairs, sync_dist=split == "val")
