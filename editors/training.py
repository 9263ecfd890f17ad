"""One training step's arithmetic: edits from a batch, their losses, and the way of the gradients to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from editors.factors import edit_factors
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork
from editors.outer import OuterLosses, OuterOptions, outer_losses
from editors.records import EditBatch
from interventions.weights import LowRank, LowRankEdit


@dataclass(frozen=True)
class JudgedEdits:
    """Edits of a batch after their losses were differentiated.

    Attributes:
        surrogate: () a scalar whose gradient with respect to the network is that of the loss; its value means nothing.
        losses: Losses of each record.
        inner: (E,) loss of each edit's own text before the edit.
        finite: Whether all gradients were finite. If not, the surrogate's gradient is zero.
    """

    surrogate: Tensor
    losses: OuterLosses
    inner: Tensor
    finite: bool


def judged_edits(
    halves: ModelHalves,
    network: Hypernetwork,
    modules: Mapping[str, nn.Module],
    batch: EditBatch,
    options: OuterOptions,
) -> JudgedEdits:
    """Make the edits of a batch, judge each on its own rows, and differentiate down to the edits' factors.

    Args:
        halves: The model, cut at the first edited block.
        network: Makes the edits.
        modules: The layers whose weights are edited, by path.
        batch: The records.
        options: Weights and limits.
    """
    factors, inner = edit_factors(halves, batch.edit, len(batch), modules, options.counted)
    edit = network(factors)
    del factors  # they are large, and what comes needs the memory
    leaves = as_leaves(edit)
    losses = outer_losses(halves, leaves, batch, options, backward=True)
    gradients = [leaf.grad for change in leaves.weights.values() for leaf in change.tensors() if leaf.grad is not None]
    finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    if not finite:
        for gradient in gradients:
            gradient.zero_()
    return JudgedEdits(carried_back(edit, leaves), losses, inner, finite)


def as_leaves(edit: LowRankEdit) -> LowRankEdit:
    """The same edits on tensors of their own that collect gradients."""
    leaves = {
        path: LowRank(
            *(tensor.detach().requires_grad_() for tensor in (change.u, change.v, torch.as_tensor(change.scale)))
        )
        for path, change in edit.weights.items()
    }
    return LowRankEdit(leaves, edit.assignment)


def carried_back(edit: LowRankEdit, leaves: LowRankEdit) -> Tensor:
    """A scalar whose gradient with respect to `edit` is what its leaves have collected: the way on to the network.

    Args:
        edit: Edits with gradients to the network that made them.
        leaves: What `as_leaves` made of them, after the backward passes.
    """
    pairs = [
        (tensor, leaf.grad)
        for path, change in edit.weights.items()
        for tensor, leaf in zip(change.tensors(), leaves.weights[path].tensors(), strict=True)
    ]
    return torch.stack([(tensor * gradient).sum() for tensor, gradient in pairs if gradient is not None]).sum()
