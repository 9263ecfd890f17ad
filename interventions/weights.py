"""Edits of weights that are never written into them: low-rank products on a layer's input, one edit per batch row."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from files.errors import InputError
from interventions.applied import Intervention, Site, find_module
from lm.sites import is_conv1d


@dataclass(frozen=True)
class LowRank:
    """Changes of one weight for E edits: the layer gains `scale * v^T u`, written for a weight of shape (out, in).

    Attributes:
        u: (E, K, in) factors on the side of the layer's input; rows of zeros are padding.
        v: (E, K, out) factors on the side of its output.
        scale: () number or tensor that multiplies the product.
    """

    u: Tensor
    v: Tensor
    scale: Tensor | float = 1.0

    def __post_init__(self) -> None:
        if self.u.dim() != 3 or self.v.dim() != 3 or self.u.shape[:2] != self.v.shape[:2]:
            raise ValueError(
                f"expected `u` (E, K, in) and `v` (E, K, out) but got {tuple(self.u.shape)} and {tuple(self.v.shape)}"
            )

    def delta(self, edit: int = 0) -> Tensor:
        """The change of the weight as a full matrix (out, in), for one edit."""
        return self.scale * (self.v[edit].T @ self.u[edit])

    def tensors(self) -> Iterator[Tensor]:
        """Its tensors."""
        yield from (value for value in (self.u, self.v, self.scale) if isinstance(value, Tensor))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LowRank:
        """The same on another device or in another type."""
        scale = self.scale.to(device, dtype) if isinstance(self.scale, Tensor) else self.scale
        return LowRank(self.u.to(device, dtype), self.v.to(device, dtype), scale)


# A dataclass so that whoever looks for the tensors in what a network gives, as FSDP2 does, finds these.
@dataclass(init=False, repr=False, eq=False)
class LowRankEdit(Intervention):
    """Edited weights of a model for E edits at once, each batch row under its own edit.

    The weights stay as they are: to what a layer makes of its input x the product `scale * (x u^T) v` is added, so the
    full change of a weight never exists. A batch must have E rows, row e under edit e; `rows` says otherwise. A single
    edit holds for batches of any size.

    Args:
        weights: The change of each weight, by the dotted path of its module.
        assignment: Which edit each batch row is under; None for row e under edit e.
    """

    weights: dict[str, LowRank]

    def __init__(self, weights: Mapping[str, LowRank], assignment: Sequence[int] | None = None) -> None:
        counts = {change.u.shape[0] for change in weights.values()}
        if len(counts) != 1:
            raise ValueError(
                f"expected the same number of edits for every weight, at least one weight, but got {counts}"
            )
        self.weights = dict(weights)
        self.count = counts.pop()
        self.assignment = None if assignment is None else [int(edit) for edit in assignment]
        order = range(self.count) if assignment is None else self.assignment
        self._runs = [(edit, len(list(rows))) for edit, rows in groupby(order or ())]
        unknown = [edit for edit, _ in self._runs if not 0 <= edit < self.count]
        if unknown:
            raise ValueError(f"expected edits from 0 to {self.count - 1} but got {unknown[0]}")

    def __len__(self) -> int:
        """Number of edits E."""
        return self.count

    @property
    def sites(self) -> list[Site]:
        """The outputs of the edited modules."""
        return [Site(path, "output") for path in self.weights]

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:
        """What the module would give with the edited weight of each row (B, T, out).

        Raises:
            ValueError: If the batch has another number of rows than the edit is laid out for.
        """
        change = self.weights[site.module].to(entering.device, leaving.dtype)
        if self.count == 1 and (self.assignment is None or len(self.assignment) == len(entering)):
            return _added(leaving[None], entering[None], change).squeeze(0)
        rows = self.count if self.assignment is None else len(self.assignment)
        if entering.dim() == 2 and len(entering) % rows == 0:  # some models flatten (B, T) before a layer
            entering, flat = entering.unflatten(0, (rows, -1)), leaving
            return self._by_row(entering, leaving.unflatten(0, (rows, -1)), change).view_as(flat)
        if len(entering) != rows:
            raise ValueError(
                f"the edit is laid out for {rows} batch rows but the batch has {len(entering)}; use `rows`"
            )
        return self._by_row(entering, leaving, change)

    def _by_row(self, entering: Tensor, leaving: Tensor, change: LowRank) -> Tensor:
        """Rows (B, T, .) of which each run stands under one edit."""
        edits, lengths = zip(*self._runs, strict=True)
        if len(set(lengths)) == 1:
            if edits != tuple(range(self.count)):
                change = LowRank(change.u[list(edits)], change.v[list(edits)], change.scale)
            grouped = (len(edits), lengths[0])
            return _added(leaving.unflatten(0, grouped), entering.unflatten(0, grouped), change).flatten(0, 1)
        parts = zip(edits, leaving.split(lengths), entering.split(lengths), strict=True)
        return torch.cat([_added(out[None], x[None], _only(change, edit)).squeeze(0) for edit, out, x in parts])

    def rows(self, assignment: Sequence[int]) -> LowRankEdit:
        """The same edits for a batch whose row r stands under edit `assignment[r]`; nothing is copied.

        Fastest with the rows of an edit next to each other and as many of each.
        """
        if self.assignment is not None:
            assignment = [self.assignment[row] for row in assignment]
        return LowRankEdit(self.weights, assignment)

    def only(self, edit: int) -> LowRankEdit:
        """One of the edits alone."""
        return LowRankEdit({path: _only(change, edit) for path, change in self.weights.items()})

    def stack(self, *others: LowRankEdit) -> LowRankEdit:
        """These edits and others on top of each other: edit e of the result is the sum of every edit e.

        Raises:
            ValueError: If the numbers of edits or the layouts over batch rows differ.
        """
        for other in others:
            if (other.count, other.assignment) != (self.count, self.assignment):
                raise ValueError(f"expected edits for {self.count} rows laid out alike but got {other.count}")
        layers = [edit.weights for edit in (self, *others)]
        paths = dict.fromkeys(path for weights in layers for path in weights)
        sums = {path: _sum([weights[path] for weights in layers if path in weights]) for path in paths}
        return LowRankEdit(sums, self.assignment)

    def scaled(self, strength: float | Tensor) -> LowRankEdit:
        """The same edits with another strength: 0 is the base model, 1 the edit itself."""
        changes = {path: replace(change, scale=change.scale * strength) for path, change in self.weights.items()}
        return LowRankEdit(changes, self.assignment)

    def detach(self) -> LowRankEdit:
        """The same edits without gradients."""
        changes = {
            path: LowRank(change.u.detach(), change.v.detach(), _detached(change.scale))
            for path, change in self.weights.items()
        }
        return LowRankEdit(changes, self.assignment)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LowRankEdit:
        """The same edits on another device or in another type."""
        return LowRankEdit({path: change.to(device, dtype) for path, change in self.weights.items()}, self.assignment)

    @torch.no_grad()
    def materialize(self, model: PreTrainedModel) -> PreTrainedModel:
        """A copy of the model with plain edited weights, which `save_pretrained` writes and plain transformers loads.

        An adapter on the model is merged into the copy's weights: written beside them, it would be all that is kept.

        Args:
            model: The base model; it is left alone.

        Returns:
            The edited copy.

        Raises:
            ValueError: If this holds more than one edit.
            InputError: If an edited weight is stored quantised.
        """
        if self.count != 1:
            raise ValueError(f"plain weights hold one edit but this holds {self.count}; choose one with `only`")
        edited = copy.deepcopy(model)
        for path, change in self.weights.items():
            module = find_module(edited, path)
            weight = plain_weight(module, path)
            delta = change.to(weight.device, torch.float32).delta()
            weight.copy_(weight.float() + (delta.T if is_conv1d(module) else delta))
        merge = getattr(edited, "merge_and_unload", None)  # peft's models have one
        merged: PreTrainedModel = edited if merge is None else merge()
        return merged


def plain_weight(module: nn.Module, path: str) -> Tensor:
    """The weight matrix of a linear layer, below an adapter if there is one.

    Args:
        module: The layer.
        path: Its name, for the message.

    Raises:
        InputError: If it is stored quantised.
    """
    layer: Any = getattr(module, "base_layer", module)
    weight: Tensor = layer.weight
    if not weight.is_floating_point():
        raise InputError(
            "a quantised weight cannot take an edit into itself",
            field=path,
            expected="a floating-point weight",
            got=str(weight.dtype),
            fix="load the model without quantisation, or keep the edit as an intervention",
        )
    return weight


def _added(leaving: Tensor, entering: Tensor, change: LowRank) -> Tensor:
    """`leaving` (S, n, T, out) plus the product on `entering` (S, n, T, in), edit s for group s."""
    x = entering.flatten(1, -2)
    product = (x @ change.u.transpose(1, 2)) * change.scale
    return torch.baddbmm(leaving.flatten(1, -2), product, change.v).view_as(leaving)


def _only(change: LowRank, edit: int) -> LowRank:
    return LowRank(change.u[edit : edit + 1], change.v[edit : edit + 1], change.scale)


def _sum(changes: Sequence[LowRank]) -> LowRank:
    """Changes of one weight on top of each other, their scales moved into the factors."""
    if len(changes) == 1:
        return changes[0]
    device = changes[0].u.device
    u = torch.cat([change.u.to(device) for change in changes], 1)
    return LowRank(u, torch.cat([(change.v * change.scale).to(device) for change in changes], 1))


def _detached(scale: Tensor | float) -> Tensor | float:
    return scale.detach() if isinstance(scale, Tensor) else scale
