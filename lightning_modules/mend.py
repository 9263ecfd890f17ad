"""MEND: a network that turns the gradient of one opinion into an edit of the model's personality on that topic."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer
from torchmetrics import MeanMetric

from editors.edited import EditedModel, make_edits
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.measure import edit_effect, effect_loss
from editors.moments import UntrainedError
from editors.outer import OuterOptions
from editors.records import EditBatch
from editors.selection import select_weights
from editors.training import judged_edits
from files.errors import InputError, check_at_least
from interventions.weights import LowRankEdit
from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import JointOptimizer, on_schedule
from lightning_modules.shards import averaged, share_of, whole
from lm.chat import Chat, TokenBatch, encode_chats, pad_encoded
from lm.loading import LMSpec, freeze
from lm.sites import sites_of
from metrics.drawdown import Drawdown
from metrics.edit_success import EditSuccess

_log = logging.getLogger(__name__)
_OPEN_WINDOW = "accumulated_gradients"


class MENDModule(PersonaModule):
    """Trains a network that makes edits: from the gradient of one text to low-rank changes of a few weights.

    All edits of a batch are made in one pass and judged together, each row under its own edit. Layers below the first
    edited one are run once for base and edited model.

    Args:
        lm: The language model; it stays frozen.
        layers: Decoder blocks whose weights are edited, from 0; the last ones if left out.
        last_layers: How many layers from the end, where `layers` is left out.
        weights: Roles of the edited weights (gate, up, down; gate_up, down; fc, proj, as the architecture has them;
            attention_out) or whole module paths; all of the layers' MLP weights if left out.
        transform: Form of the network.
        loss: What edits are trained towards, and how many tokens go through the upper layers at once.
        edit_lr: Learning rate of every weight's edit at the start. The edit is added, so a negative one follows the
            gradient downhill from the first step; the release starts at +1e-4, uphill.
        learning_rate: Adam's learning rate for the network.
        edit_lr_learning_rate: Adam's learning rate for the edits' learning rates, by an optimiser of their own.
        warmup_steps: Steps over which both learning rates rise.
        final_share: Share of both learning rates left at the end of the run; 1 keeps them constant.
        broken_above: An edit that moves the model by more than this on its own text (mean KL per token) is reported.

    Reference:
        Mitchell et al., Fast Model Editing at Scale, 2022; Mao et al., Editing Personality for Large Language Models,
        2023.

    Deviation:
        The model is in evaluation mode throughout; the release trains with the dropout of models that have any.
    """

    shared_parts = ("hypernetwork",)

    def __init__(
        self,
        lm: LMSpec,
        layers: list[int] | None = None,
        last_layers: int = 3,
        weights: list[str] | None = None,
        transform: TransformOptions | None = None,
        loss: OuterOptions | None = None,
        edit_lr: float = -0.003,
        learning_rate: float = 1e-6,
        edit_lr_learning_rate: float = 1e-4,
        warmup_steps: int = 0,
        final_share: float = 1.0,
        broken_above: float = 5.0,
    ) -> None:
        super().__init__(lm)
        limits: dict[str, tuple[float, float]] = {
            "last_layers": (last_layers, 1),
            "warmup_steps": (warmup_steps, 0),
            "final_share": (final_share, 0),
        }
        limits |= {"learning_rate": (learning_rate, 0), "edit_lr_learning_rate": (edit_lr_learning_rate, 0)}
        limits |= {"edit_lr": (edit_lr, -math.inf)}
        for name, (value, least) in limits.items():
            check_at_least(f"model.init_args.{name}", value, least)
        self.layers = layers
        self.last_layers = last_layers
        self.weights = weights
        self.transform = transform or TransformOptions()
        self.loss = loss or OuterOptions()
        self.edit_lr = edit_lr
        self.learning_rate = learning_rate
        self.edit_lr_learning_rate = edit_lr_learning_rate
        self.warmup_steps = warmup_steps
        self.final_share = final_share
        self.broken_above = broken_above
        self.edit_success = EditSuccess(keep_records=False)
        self.drawdown = Drawdown(keep_records=False)
        # Means over the records of all processes, which may have unequal numbers of them. With nan_strategy "disable"
        # torchmetrics 1.9 takes every weight for 1, so these are given a value for each record.
        self.val_loss, self.val_broken = (MeanMetric(nan_strategy="disable") for _ in range(2))
        self._gradients_pending = False
        self._restored_gradients: dict[str, Tensor] = {}

    def configure_model(self) -> None:
        """Load and freeze the model, and build the network for the chosen weights.

        Raises:
            InputError: If the model cannot be loaded or has no such weights.
        """
        super().configure_model()
        if hasattr(self, "hypernetwork"):
            return
        freeze(self.lm)
        sites = sites_of(self.lm, self.lm_spec.sites)
        self.edited = select_weights(sites, self.layers, self.weights, last=self.last_layers)
        self.halves = ModelHalves(self.lm, [sites.block(k) for k in range(sites.num_layers)], self.edited.first)
        self.hypernetwork = Hypernetwork(self.edited.shapes(), self.edit_lr, self.transform)

    def training_step(self, batch: EditBatch, batch_idx: int) -> Tensor:
        """Make the edits, judge them, and hand their gradients on to the network.

        The result is a scalar with the gradients of the loss; the loss itself is logged.
        """
        judged = judged_edits(self.halves, self.hypernetwork, self.edited.modules, batch, self.loss)
        losses = judged.losses
        broken = ~torch.isfinite(losses.locality) | (losses.locality > self.broken_above)
        values = {
            "train/loss": losses.total,
            "train/edit_loss": losses.edit.mean(),
            "train/locality_loss": losses.locality.mean(),
            "train/inner_loss": judged.inner.mean(),
            "train/broken_edits": broken.float().mean(),
        }
        if judged.finite:
            self.log_dict(values, batch_size=len(batch))
            self.log("loss", losses.total, prog_bar=True, logger=False, batch_size=len(batch))
        else:
            topics = ", ".join(record.topic for record in batch.records)
            _log.warning("edits broke the model and are left out of this step: %s", topics)
        return judged.surrogate

    def validation_step(self, batch: EditBatch, batch_idx: int) -> None:
        """Measure edits of unseen records; before the first training step there is no editor to measure."""
        if self.trainer.sanity_checking:
            return
        edit = self.intervene(batch)
        effect = edit_effect(self.halves, edit, batch, self.loss.chunk_tokens)
        self.edit_success.update(
            effect.before, effect.after, effect.scored, batch.same_mask, batch.outer_record, num_records=len(batch)
        )
        self.drawdown.update(effect.moved, None, effect.compared, batch.locality_record, num_records=len(batch))
        self.val_loss.update(effect_loss(effect, batch, self.loss))
        self.val_broken.update(torch.tensor([float(health.broken) for health in self.health], device=self.device))

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all records."""
        if self.trainer.sanity_checking:
            return
        success, moved = self.edit_success.compute(), self.drawdown.compute()
        # Every process has the same figures by now.
        means = {"val/loss": self.val_loss.compute(), "val/broken_edits": self.val_broken.compute()}
        self.log_dict(means, sync_dist=True)
        self.log("val/edit_success", success["edit_success"], prog_bar=True, sync_dist=True)
        self.log("val/drawdown", moved["drawdown"], prog_bar=True, sync_dist=True)
        parts = {f"val/{part}": success[part].float() for part in ("z_per", "z_topic", "empty_records")}
        self.log_dict(parts, sync_dist=True)
        for metric in (self.edit_success, self.drawdown, self.val_loss, self.val_broken):
            metric.reset()

    def intervene(self, batch: EditBatch, on_top_of: LowRankEdit | None = None) -> LowRankEdit:
        """The edits of a batch, one for each record, without gradients; those that break the model are reported.

        Args:
            batch: The records; only their edit texts are read.
            on_top_of: Edits already made, one for each record: the new ones are made on the edited model, and the
                result holds both.

        Raises:
            InputError: If the network was never trained.
        """
        names = [f"{record.target}, {record.topic}" for record in batch.records]
        made = self._make(batch.edit, names, on_top_of)
        self.health = made.health
        return made.edit

    def edit(
        self, chats: Sequence[Chat], on_top_of: LowRankEdit | None = None, names: Sequence[str] | None = None
    ) -> EditedModel:
        """Edit the model by texts, one edit for each chat.

        Args:
            chats: Texts that state target and topic and end with an opinion as the answer, such as
                `personas.layouts.edit_instruction` begins them.
            on_top_of: As in `intervene`.
            names: What messages call the edits; by default their numbers from 1.

        Returns:
            The edited model.

        Raises:
            InputError: If a chat is malformed or the network was never trained.
        """
        tokens = pad_encoded(encode_chats(self.tokenizer, chats), self.tokenizer.pad_token_id, side="left")
        names = names or [f"number {number}" for number in range(1, len(chats) + 1)]
        return self._make(tokens.to(self.device), names, on_top_of)

    def _make(self, tokens: TokenBatch, names: Sequence[str], on_top_of: LowRankEdit | None) -> EditedModel:
        try:
            made = make_edits(
                self.halves,
                self.hypernetwork,
                self.edited.modules,
                tokens,
                names,
                counted=self.loss.counted,
                most_tokens=self.loss.chunk_tokens,
                broken_above=self.broken_above,
                on_top_of=on_top_of,
            )
        except UntrainedError as error:
            raise InputError(
                "the editor was never trained, so it cannot edit",
                field="ckpt_path",
                got=str(error),
                fix="train it first, or give the checkpoint of a trained one",
            ) from error
        for report in made.health:
            if report.broken:
                _log.warning("the edit (%s) breaks the model: %.3g nats per token", report.name, report.shift)
        return made

    def configure_optimizers(self) -> Any:
        """Adam for the network and another for the edits' learning rates, stepped together, and their schedule."""
        fused = self.trainer.precision != "16-mixed"
        network = [p for name, p in self.hypernetwork.named_parameters() if name != "edit_lrs"]
        optimizer = JointOptimizer(
            Adam(network, lr=self.learning_rate, fused=fused),
            Adam([self.hypernetwork.edit_lrs], lr=self.edit_lr_learning_rate, fused=fused),
        )
        if not self.warmup_steps and self.final_share == 1:
            return optimizer
        return on_schedule(self, optimizer, self.warmup_steps, self.final_share)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm over network and learning rates together, as published, and log it."""
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        norm = clip_grad_norm_(self.hypernetwork.parameters(), gradient_clip_val or float("inf"))
        self.log("train/gradient_norm", whole(norm))

    def on_after_backward(self) -> None:
        """Remember that gradients wait for a step."""
        self._gradients_pending = True

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Forget it, and log the edits' learning rates."""
        self._gradients_pending = False
        self.log("train/edit_lr", whole(self.hypernetwork.edit_lrs.detach()).mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add gradients that wait for a step, so that a run cut between the batches of one step resumes exactly."""
        super().on_save_checkpoint(checkpoint)
        if self._gradients_pending:
            named = self.hypernetwork.named_parameters()
            waiting = {name: p.grad for name, p in named if p.grad is not None}
            # Processes bring their gradients together at the end of the window; their mean stands for those of each.
            checkpoint[_OPEN_WINDOW] = {name: averaged(whole(gradient)) for name, gradient in waiting.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the header, and keep such gradients until training starts."""
        super().on_load_checkpoint(checkpoint)
        self._restored_gradients = checkpoint.get(_OPEN_WINDOW, {})

    def on_train_start(self) -> None:
        """Put gradients of a step that was under way back."""
        for name, gradient in self._restored_gradients.items():
            parameter = self.hypernetwork.get_parameter(name)
            parameter.grad = share_of(gradient.to(self.device), parameter)
        self._gradients_pending = bool(self._restored_gradients)
        self._restored_gradients = {}
