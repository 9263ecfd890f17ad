"""A classifier of traits: any sequence classifier of transformers, trained on labelled texts and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.functional.classification import multiclass_calibration_error
from transformers import PreTrainedModel

from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import check_optimizer_settings, decayed_groups
from lightning_modules.schedules import warmup_cosine
from lm.classifier import ClassifierSpec, head_of, load_classifier
from lm.loading import LMSpec, load_tokenizer, model_hash
from metrics.calibration import fit_temperature


class LabelledTexts(Protocol):
    """A batch of texts with labels: ids and mask (B, T), labels (B,)."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class ClassifierModule(PersonaModule):
    """Trains a classifier to name the pole that speaks in a text.

    Every validation fits a temperature to the held-out texts; it is part of the checkpoint, and `calibrated` puts it
    into the classifier's last layer, so that whoever loads the result gets calibrated probabilities.

    Args:
        lm: The model to make a classifier of; its head is new, and all of it is random with `random_init`.
        labels: The labels, in the order in which the data number them.
        learning_rate: Peak learning rate.
        weight_decay: Decay of the weight matrices.
        warmup_steps: Optimizer steps until the peak, from where a cosine leads down over the rest of the run.
        label_smoothing: Share of the target that is spread over all labels.
    """

    temperature: Tensor

    def __init__(
        self,
        lm: LMSpec,
        labels: Sequence[str],
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_steps: int = 50,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(lm)
        check_optimizer_settings(learning_rate=learning_rate, weight_decay=weight_decay, warmup_steps=warmup_steps)
        self.labels = list(labels)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.label_smoothing = label_smoothing
        self.register_buffer("temperature", torch.ones(()))
        self._seen: list[tuple[Tensor, Tensor]] = []

    def configure_model(self) -> None:
        """Load the model with a head for the labels, once.

        Raises:
            InputError: It cannot be loaded.
        """
        if self.model_hash is not None:
            return
        spec = ClassifierSpec(self.lm_spec.name, revision=self.lm_spec.revision)
        self.tokenizer = load_tokenizer(self.lm_spec)
        self.lm = load_classifier(
            spec, labels=self.labels, random_init=self.lm_spec.random_init, seed=self.lm_spec.seed
        )
        # A causal architecture reads the last token that is no padding, and must know which token that is.
        self.lm.config.pad_token_id = self.tokenizer.pad_token_id
        self.model_hash = model_hash(self.lm)

    def on_fit_start(self) -> None:
        """Switch the model to training mode, which loading leaves off."""
        self.lm.train()

    def training_step(self, batch: LabelledTexts, batch_idx: int) -> Tensor:
        """Cross-entropy of the labels."""
        loss = F.cross_entropy(self._logits(batch), batch.labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch.labels))
        return loss

    def validation_step(self, batch: LabelledTexts, batch_idx: int) -> None:
        """Keep logits and labels of the held-out texts."""
        self._seen.append((self._logits(batch).detach(), batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Fit the temperature and log how good the calibrated classifier is."""
        logits, labels = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen.clear()
        if self.trainer.world_size > 1:
            logits, labels = (cast(Tensor, self.all_gather(part)).flatten(0, 1) for part in (logits, labels))
        self.temperature.fill_(fit_temperature(logits, labels))
        scaled = logits / self.temperature
        error = multiclass_calibration_error(scaled.softmax(-1), labels, num_classes=len(self.labels))
        self.log("val/loss", F.cross_entropy(scaled, labels))
        self.log("val/accuracy", (scaled.argmax(-1) == labels).float().mean(), prog_bar=True)
        self.log("val/calibration_error", error, prog_bar=True)

    def calibrated(self) -> PreTrainedModel:
        """A copy of the classifier whose last layer is divided by the temperature."""
        model: Any = deepcopy(self.lm).eval()
        head = head_of(model)
        with torch.no_grad():
            head.weight.div_(self.temperature)
            if head.bias is not None:
                head.bias.div_(self.temperature)
        return model

    def configure_optimizers(self) -> Any:
        """AdamW with warmup and a cosine over the steps that the Trainer is set to run."""
        optimizer = AdamW(decayed_groups(self, self.weight_decay), lr=self.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, self.warmup_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _logits(self, batch: LabelledTexts) -> Tensor:
        return self.lm(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
