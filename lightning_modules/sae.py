"""Sparse autoencoders: features of one layer, learnt from what the frozen model computes while it reads a corpus."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, Optimizer
from torchmetrics import MeanMetric

from files.errors import InputError
from interventions.applied import applied
from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.jump_relu import fires
from interventions.places import places_of
from interventions.replaced import ReplaceOutput, output_of
from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import check_optimizer_settings, on_schedule
from lightning_modules.sft import summed_loss
from lm.loading import LMSpec, freeze
from lm.packing import PackedBatch
from losses.autoencoder import reconstruction_loss, revival_loss
from metrics.autoencoder import ExplainedVariance, loss_recovered

_WAYS = ("plain", "patched", "ablated")


class SAEModule(PersonaModule):
    """Trains a sparse autoencoder on the output of one decoder block.

    Each batch of the corpus is read up to that block and no further; its activations are used once and let go. Inputs
    are scaled to a mean length of sqrt(D), by the first batch; `trained` gives the autoencoder of inputs as they are.

    Args:
        lm: The language model; it stays frozen.
        layer: The decoder block whose output is encoded, from 0; the middle one if left out.
        features: Number of features.
        architecture: `topk` keeps the k largest features of a token, `jumprelu` those above thresholds that are learnt.
        k: Active features per token; for `topk`.
        sparsity: Weight of each active feature in the loss; for `jumprelu`.
        sparsity_warmup: Steps over which that weight rises.
        bandwidth: Width around a threshold in which activations move it; for `jumprelu`.
        first_threshold: Thresholds at the start; for `jumprelu`.
        revival: Weight of the loss that lets dead features explain what is left over; 0 leaves them dead.
        dead_after: Tokens without firing after which a feature counts as dead.
        learning_rate: Peak learning rate of Adam.
        betas: Memory of Adam's two moments.
        warmup_steps: Steps until the peak, from where a cosine leads down over the rest of the run.
        final_share: Share of the peak learning rate that is left at the end.
        seed: Seed of the weights at the start.

    Reference:
        Gao et al., Scaling and Evaluating Sparse Autoencoders, 2024 (TopK, revival of dead features); Rajamanoharan et
        al., Jumping Ahead, 2024 (JumpReLU).
    """

    scale: Tensor
    silent: Tensor

    def __init__(
        self,
        lm: LMSpec,
        layer: int | None = None,
        features: int = 1536,
        architecture: Literal["topk", "jumprelu"] = "topk",
        k: int = 32,
        sparsity: float = 1e-3,
        sparsity_warmup: int = 200,
        bandwidth: float = 0.1,
        first_threshold: float = 0.1,
        revival: float = 1 / 32,
        dead_after: int = 100_000,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        warmup_steps: int = 50,
        final_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__(lm)
        check_optimizer_settings(
            betas=betas, learning_rate=learning_rate, warmup_steps=warmup_steps, final_share=final_share
        )
        self.layer = layer
        self.features = features
        self.architecture: Literal["topk", "jumprelu"] = architecture
        self.k = k
        self.sparsity = sparsity
        self.sparsity_warmup = sparsity_warmup
        self.bandwidth = bandwidth
        self.first_threshold = first_threshold
        self.revival = revival
        self.dead_after = dead_after
        self.learning_rate = learning_rate
        self.betas = betas
        self.warmup_steps = warmup_steps
        self.final_share = final_share
        self.seed = seed

    def configure_model(self) -> None:
        """Load and freeze the model, and draw the autoencoder.

        Raises:
            InputError: The model cannot be loaded, has no such layer, or an option means nothing.
        """
        if self.model_hash is not None:
            return
        self._check_options()
        super().configure_model()
        freeze(self.lm)
        places = places_of(self.lm, self.lm_spec.sites)
        self.chosen_layer = places.sites.num_layers // 2 if self.layer is None else self.layer
        self.site = places.block(self.chosen_layer)
        width = places.sites.hidden_size
        form = AutoencoderForm(
            architecture=self.architecture,
            width=width,
            features=self.features,
            k=self.k if self.architecture == "topk" else None,
            centred=True,
        )
        self.autoencoder = SparseAutoencoder(form, torch.Generator().manual_seed(self.seed))
        if self.autoencoder.threshold is not None:
            torch.nn.init.constant_(self.autoencoder.threshold, self.first_threshold)
        self.register_buffer("scale", torch.zeros(()))
        self.register_buffer("silent", torch.zeros(self.features, dtype=torch.long))
        self.explained = ExplainedVariance(width)
        self.active = MeanMetric()
        self.losses: Any = torch.nn.ModuleDict({way: MeanMetric() for way in _WAYS})

    def trained(self) -> SparseAutoencoder:
        """The autoencoder of the block's output as it is."""
        return self.autoencoder.rescaled(float(self.scale)) if float(self.scale) else self.autoencoder

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Loss of the batch's tokens: what is not reconstructed, what too many features cost, and the revival."""
        inputs = self._tokens(batch)
        if not float(self.scale):
            self._begin(inputs)
        inputs = inputs * self.scale
        values = self.autoencoder.pre_activations(inputs)
        features = self.autoencoder.chosen(values, self.bandwidth)
        reconstructed = self.autoencoder.decode(features)
        loss = error = reconstruction_loss(inputs, reconstructed)
        if self.autoencoder.threshold is not None:
            rising = min(1.0, (self.global_step + 1) / max(1, self.sparsity_warmup))
            count = fires(values, self.autoencoder.threshold.relu(), self.bandwidth).sum(-1).mean()
            loss = loss + self.sparsity * rising * count
        dead = self._dead(features)
        if self.revival and bool(dead.any()):
            loss = loss + self.revival * revival_loss(inputs - reconstructed, self._explained_by(dead, values))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(inputs))
        self.log("train/explained_variance", 1 - error.detach(), prog_bar=True, batch_size=len(inputs))
        self.log("train/l0", (features > 0).sum(-1).float().mean(), batch_size=len(inputs))
        self.log("train/dead_share", dead.float().mean(), batch_size=len(inputs))
        return loss

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Take in how well the batch is reconstructed, and what the model loses by it."""
        weights = batch.weights(1.0)
        # The first token of a chat looks the same in all of them, and is long: it would make the share look better.
        inputs = self._tokens(batch, batch.target_mask) * self.scale
        features = self.autoencoder.encode(inputs)
        self.explained.update(inputs, self.autoencoder.decode(features))
        self.active.update((features > 0).sum(-1).float())
        changes = (None, self._reconstructed, torch.zeros_like)
        for way, change in zip(_WAYS, changes, strict=True):
            edits = [] if change is None else [ReplaceOutput(self.site, change)]
            with applied(self.lm, *edits):
                total = summed_loss(self.lm, batch.input_ids, batch.position_ids, weights)
            count = weights.sum().clamp(min=1)
            self.losses[way].update(total / count, count)

    def on_validation_epoch_end(self) -> None:
        """Log the figures of all batches."""
        plain, patched, ablated = (self.losses[way].compute() for way in _WAYS)
        figures = {
            "explained_variance": self.explained.compute(),
            "l0": self.active.compute(),
            "loss_recovered": loss_recovered(plain, patched, ablated),
            "loss": plain,
            "loss_patched": patched,
            "loss_ablated": ablated,
            "dead_share": (self.silent > self.dead_after).float().mean(),
        }
        # Every metric has been brought together over all processes by now.
        self.log_dict({f"val/{name}": value for name, value in figures.items()}, rank_zero_only=True, prog_bar=False)
        for metric in (self.explained, self.active, *self.losses.values()):
            metric.reset()

    def configure_optimizers(self) -> Any:
        """Adam with warmup and a cosine over the steps that the Trainer is set to run."""
        optimizer = Adam(self.autoencoder.parameters(), lr=self.learning_rate, betas=self.betas)
        return on_schedule(self, optimizer, self.warmup_steps, self.final_share)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm, and log it."""
        if gradient_clip_algorithm == "value":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        norm = clip_grad_norm_(self.autoencoder.parameters(), gradient_clip_val or float("inf"))
        self.log("train/gradient_norm", norm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and bring every decoder row back to length 1: shrinking features must not pay off."""
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            rows = self.autoencoder.decoder
            rows.div_(rows.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny))

    def _tokens(self, batch: PackedBatch, chosen: Tensor | None = None) -> Tensor:
        """The block's output (N, D) at all tokens of a batch, or at chosen ones (B, T), in float32."""
        with torch.no_grad():
            hidden = output_of(
                self.lm,
                self.site,
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                use_cache=False,
            )
        if chosen is None:
            # A token that the next one is predicted after; all tokens but the last of each chat are.
            before = torch.nn.functional.pad(batch.target_mask[:, 1:], (0, 1))
            chosen = batch.target_mask | before
        tokens = hidden[chosen].float()
        if not bool(tokens.isfinite().all()):
            raise InputError(
                "the model's activations are not finite",
                field="model.init_args.lm",
                expected="finite numbers",
                got="nan or infinity",
                fix="load the model in float32 or bfloat16, and check its weights",
            )
        return tokens

    def _begin(self, inputs: Tensor) -> None:
        """Take scale and mean from the first batch."""
        mean, length = inputs.mean(0), inputs.norm(dim=-1).mean()
        if self.trainer.world_size > 1:
            mean, length = (self.trainer.strategy.reduce(part, reduce_op="mean") for part in (mean, length))
        with torch.no_grad():
            self.scale.copy_(inputs.shape[-1] ** 0.5 / length)
            self.autoencoder.decoder_bias.copy_(mean * self.scale)

    def _dead(self, features: Tensor) -> Tensor:
        """Count the tokens that every feature has been silent for; which of them count as dead (F,)."""
        fired = (features > 0).any(0)
        self.silent.copy_(torch.where(fired, torch.zeros_like(self.silent), self.silent + len(features)))
        return self.silent > self.dead_after

    def _explained_by(self, dead: Tensor, values: Tensor) -> Tensor:
        """What the dead features with the largest pre-activations add up to (N, D)."""
        values = values[:, dead]
        top, places = values.topk(min(values.shape[1], self.autoencoder.form.width // 2), dim=-1, sorted=False)
        return torch.zeros_like(values).scatter(-1, places, top.relu()) @ self.autoencoder.decoder[dead]

    def _reconstructed(self, hidden: Tensor) -> Tensor:
        return (self.autoencoder(hidden.float() * self.scale) / self.scale).to(hidden.dtype)

    def _check_options(self) -> None:
        """Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words."""
        for option, value, fits, expected in (
            ("features", self.features, self.features >= 1, "1 or more"),
            ("k", self.k, self.architecture != "topk" or 1 <= self.k <= self.features, f"1 to {self.features}"),
            ("sparsity", self.sparsity, self.sparsity >= 0, "0 or more"),
            ("bandwidth", self.bandwidth, self.bandwidth > 0, "more than 0"),
            ("revival", self.revival, self.revival >= 0, "0 or more"),
            ("dead_after", self.dead_after, self.dead_after >= 1, "1 or more"),
        ):
            if not fits:
                raise InputError(
                    "means nothing", field=f"model.init_args.{option}", expected=expected, got=value, fix="correct it"
                )
