"""Optimizers made of several: each trains its own parameters, and the Trainer sees one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from files.errors import InputError, check_at_least
from lightning_modules.schedules import warmup_cosine
from lightning_modules.shards import whole


class JointOptimizer(Optimizer):
    """Steps several optimizers over disjoint parameters as one; its groups are theirs, so schedulers reach them all."""

    def __init__(self, *parts: Optimizer) -> None:
        super().__init__([{"params": group["params"]} for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share_groups()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step each part; the closure is evaluated once, before the first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of each part, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each part its state back."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def check_optimizer_settings(betas: tuple[float, float] = (0.9, 0.999), **values: float) -> None:
    """Refuse settings of an optimizer that it could not work with, before a model is loaded.

    Args:
        betas: Memory of the two moments.
        values: Learning rates, decay, steps and shares by the name of their option; none may be negative.

    Raises:
        InputError: Naming the option.

    >>> check_optimizer_settings(learning_rate=0.0)
    """
    for name, value in values.items():
        check_at_least(f"model.init_args.{name}", value, 0)
    if not all(0 <= beta < 1 for beta in betas):
        raise InputError(
            "is out of range",
            field="model.init_args.betas",
            expected="two numbers from 0 to below 1",
            got=list(betas),
            fix="correct it",
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


def adamw_on_schedule(
    module: LightningModule,
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    warmup_steps: int,
    final_share: float,
) -> dict[str, Any]:
    """AdamW over what a module trains, with warmup and a cosine over the steps its Trainer is set to run.

    Args:
        module: The module, attached to its Trainer.
        learning_rate: Peak learning rate.
        weight_decay: Decay of the matrices.
        betas: Memory of the two moments.
        warmup_steps: Optimizer steps until the peak.
        final_share: Share of the peak that is left at the end.

    Returns:
        What `configure_optimizers` returns.
    """
    # The fused step undoes the scaling of 16-bit gradients itself, after they would have been clipped.
    fused = module.trainer.precision != "16-mixed"
    optimizer = AdamW(decayed_groups(module, weight_decay), lr=learning_rate, betas=betas, fused=fused)
    return on_schedule(module, optimizer, warmup_steps, final_share)


def on_schedule(module: LightningModule, optimizer: Optimizer, warmup_steps: int, final_share: float) -> dict[str, Any]:
    """An optimizer with warmup and a cosine over the steps that a module's Trainer is set to run.

    Args:
        module: The module, attached to its Trainer.
        optimizer: Its optimizer.
        warmup_steps: Optimizer steps until the peak.
        final_share: Share of the peak that is left at the end.

    Returns:
        What `configure_optimizers` returns.
    """
    total = int(module.trainer.estimated_stepping_batches)
    factor = partial(warmup_cosine, total_steps=total, warmup_steps=warmup_steps, final_share=final_share)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step", "name": "learning_rate"},
    }


def clip_and_log(module: LightningModule, optimizer: Optimizer, value: float | None, algorithm: str | None) -> None:
    """Clip the norm over everything trained, and log it; Lightning's own way refuses fused optimisers.

    Args:
        module: Logs the norm.
        optimizer: Knows what is trained.
        value: Largest norm, or where values are clipped, largest value; None clips nothing.
        algorithm: `value` or `norm`, the latter where it is left out.
    """
    if algorithm == "value":
        module.clip_gradients(optimizer, value, algorithm)
        return
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    module.log("train/gradient_norm", whole(clip_grad_norm_(trained, value or float("inf"))))


def muon_with_adamw(
    hidden: list[nn.Parameter],
    others: list[nn.Parameter],
    *,
    learning_rate: float,
    matrix_learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
) -> JointOptimizer:
    """Muon for the matrices between the embeddings, AdamW for all else.

    Args:
        hidden: Weight matrices inside the decoder blocks.
        others: Embeddings, norms, biases.
        learning_rate: Peak learning rate of AdamW.
        matrix_learning_rate: Peak learning rate of Muon, in units of AdamW (its updates are scaled to that size).
        weight_decay: Decay of the matrices; the others have none.
        betas: Memory of AdamW's two moments.

    Reference:
        Jordan et al. 2024, Muon; the scaling is that of Liu et al. 2025, "Muon is scalable for LLM training", eq. 4.
    """
    muon = Muon(hidden, lr=matrix_learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return JointOptimizer(muon, AdamW(others, lr=learning_rate, betas=betas, weight_decay=0.0, fused=True))
