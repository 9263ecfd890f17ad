"""The common part of interventions that act by own numbers: a row of them per persona, at one site per layer."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from files.errors import InputError
from interventions.applied import Intervention, Site


class PerRow(Intervention):
    """Changes activations by tables of numbers with a row per persona, so that one batch may hold many personas.

    A batch must have as many rows as there are personas, row r under persona r; `rows` says otherwise. A single persona
    holds for batches of any size. What a strength of 0 leaves is the base model, bit for bit.

    Args:
        sites: The site of each layer.
        tables: For each layer the numbers of every persona (P, K, W): K numbers for each of the W activations.
        strength: One number, or one per persona (P,).

    Attributes:
        kind: Name of the intervention in a bundle.
        neutral: The K numbers that change nothing.
    """

    kind: ClassVar[str]
    neutral: ClassVar[tuple[float, ...]]

    def __init__(self, sites: Mapping[int, Site], tables: Mapping[int, Tensor], strength: float | Tensor = 1.0) -> None:
        self.layers = dict(sorted(sites.items()))
        self.tables = {layer: tables[layer] for layer in self.layers}
        counts = {len(table) for table in self.tables.values()}
        if len(counts) != 1:
            raise ValueError(f"expected one number of personas in all of at least one layer, but got {sorted(counts)}")
        self.strength = torch.ones(counts.pop())
        self.assignment: Tensor | None = None
        self._ready: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, ...]] = {}
        self._layer_of = {site: layer for layer, site in self.layers.items()}
        if not isinstance(strength, float) or strength != 1.0:
            self._set_strength(strength)

    def __len__(self) -> int:
        """Number of personas P."""
        return len(self.strength)

    @property
    def sites(self) -> list[Site]:
        """One site per layer, in the order of the layers."""
        return list(self.layers.values())

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the constructor beside the numbers, as a bundle keeps them."""
        return {}

    @abstractmethod
    def placed(self, table: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        """What `change` needs, worked out once for many steps of a generation.

        Args:
            table: (R, K, W) numbers of the batch rows, or of all rows alike (R = 1).
            strength: (R, 1) of the same rows.

        Returns:
            Tensors (R, W) or (R, 1).
        """

    @abstractmethod
    def change(self, hidden: Tensor, *placed: Tensor) -> Tensor:
        """New activations for the given ones (B, T, W).

        Args:
            hidden: The activations.
            placed: What `placed` gave, each (R, 1, W) or (R, 1, 1), on the device and in the format of `hidden`.
        """

    def edit(self, site: Site, entering: Tensor, leaving: Tensor) -> Tensor:  # noqa: ARG002
        """The changed activations (B, T, W).

        Raises:
            ValueError: The batch has another number of rows than the intervention is laid out for.
        """
        placed = self._placed(self._layer_of[site], leaving.device, leaving.dtype)
        rows = len(placed[0])
        if rows == 1:
            return self.change(leaving, *placed).view_as(leaving)
        if leaving.dim() == 2 and len(leaving) % rows == 0:  # some models flatten (B, T) before a layer
            return self.change(leaving.unflatten(0, (rows, -1)), *placed).flatten(0, 1)
        if len(leaving) != rows:
            raise ValueError(
                f"the intervention is laid out for {rows} batch rows but the batch has {len(leaving)}; use `rows`"
            )
        return self.change(leaving, *placed)

    def rows(self, assignment: Sequence[int] | Tensor) -> Self:
        """The same for a batch whose row r stands under persona `assignment[r]`; nothing is copied yet.

        Raises:
            ValueError: It names a persona that there is not.
        """
        index = torch.as_tensor(assignment, dtype=torch.long).cpu()
        count = len(self) if self.assignment is None else len(self.assignment)
        if index.numel() and not (0 <= int(index.min()) and int(index.max()) < count):
            raise ValueError(f"expected rows from 0 to {count - 1} but got {index.tolist()}")
        changed = self._copy()
        changed.assignment = index if self.assignment is None else self.assignment[index]
        return changed

    def scaled(self, strength: float | Tensor) -> Self:
        """The same at another strength.

        Args:
            strength: A number, or one per persona (P,). For a single persona, several numbers make several rows, each
                with the persona at one strength.

        Raises:
            ValueError: There is not one strength per persona.
        """
        changed = self._copy()
        changed._set_strength(strength)
        return changed

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same on another device or in another format. It also acts on models elsewhere, but is copied there."""
        changed = self._copy()
        changed.tables = {layer: table.to(device, dtype) for layer, table in self.tables.items()}
        changed.strength = self.strength.to(device)
        return changed

    def resolved(self) -> Self:
        """The same as plain rows: a persona per batch row that it is laid out for."""
        if self.assignment is None:
            return self
        changed = self._copy()
        changed.tables = {layer: table[self.assignment.to(table.device)] for layer, table in self.tables.items()}
        changed.strength, changed.assignment = self.strength[self.assignment.to(self.strength.device)], None
        return changed

    def with_tables(self, tables: Mapping[int, Tensor]) -> Self:
        """The same with other numbers, each table (P, K, W) in the place of one of its shape.

        Raises:
            ValueError: The tables are of other layers or shapes.
        """
        if {k: v.shape for k, v in tables.items()} != {k: v.shape for k, v in self.tables.items()}:
            raise ValueError("expected tables of the same layers and shapes")
        changed = self._copy()
        changed.tables = dict(tables)
        return changed

    def beside(self, *others: Self) -> Self:
        """The personas of this intervention, followed by those of others; a layer that one lacks is left alone there.

        Raises:
            ValueError: They are of different kinds, or for different models.
        """
        parts = [part.resolved() for part in (self, *others)]
        if any(type(part) is not type(self) or part.options != self.options for part in parts):
            raise ValueError(f"expected interventions of one kind, {type(self).__name__} {self.options}")
        sites: dict[int, Site] = {}
        for part in parts:
            for layer, site in part.layers.items():
                if sites.setdefault(layer, site) != site:
                    raise ValueError(f"expected one model but got {sites[layer].module} and {site.module}")
        changed = self._copy()
        changed.layers = dict(sorted(sites.items()))
        changed._layer_of = {site: layer for layer, site in changed.layers.items()}
        changed.tables = {layer: torch.cat([part._table(layer, parts) for part in parts]) for layer in changed.layers}
        changed.strength = torch.cat([part.strength.to(self.strength.device) for part in parts])
        changed.assignment = None
        return changed

    def _table(self, layer: int, parts: Sequence[Self]) -> Tensor:
        """The numbers of a layer, neutral where this intervention leaves it alone."""
        if layer in self.tables:
            return self.tables[layer]
        like = next(part.tables[layer] for part in parts if layer in part.tables)
        return like.new_tensor(self.neutral).view(1, -1, 1).expand(len(self), *like.shape[1:])

    def _set_strength(self, strength: float | Tensor) -> None:
        factor = torch.as_tensor(strength, dtype=torch.float32).to(self.strength.device)
        if factor.dim() > 1 or (factor.dim() == 1 and len(self) not in (1, len(factor))):
            raise ValueError(
                f"expected one strength, or one for each of {len(self)} personas, got {tuple(factor.shape)}"
            )
        if len(self) == 1 and factor.dim() == 1 and len(factor) > 1:
            if self.assignment is not None:
                raise ValueError("expected several strengths of one persona before it is laid out over batch rows")
            self.tables = {layer: table.expand(len(factor), -1, -1) for layer, table in self.tables.items()}
        self.strength = self.strength * factor

    def _placed(self, layer: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
        key = (layer, device, dtype)
        if key in self._ready:
            return self._ready[key]
        table, strength = self.tables[layer], self.strength
        if self.assignment is not None and len(self) > 1:
            table = table[self.assignment.to(table.device)]
            strength = strength[self.assignment.to(strength.device)]
        numbers = self.placed(table.to(device, torch.float32), strength.to(device).unsqueeze(1))
        ready = tuple(number.to(dtype).unsqueeze(1) for number in numbers)
        if not table.requires_grad and not strength.requires_grad:
            self._ready[key] = ready
        return ready

    def _copy(self) -> Self:
        changed = copy.copy(self)
        changed._ready = {}
        return changed


def checked_table(values: Tensor, width: int, layer: int, what: str) -> Tensor:
    """Numbers of one layer as (P, W).

    >>> checked_table(torch.zeros(2, 3, 4), 12, 0, "vectors").shape
    torch.Size([2, 12])

    Args:
        values: (P, W), or (P, H, W / H) to be put side by side.
        width: The width W of the site.
        layer: The layer, for the message.
        what: What the numbers are, for the message.

    Raises:
        InputError: They have another shape.
    """
    flat = values.flatten(1) if values.dim() == 3 else values
    if flat.dim() != 2 or flat.shape[1] != width:
        raise InputError(
            f"the {what} do not fit the model",
            field=f"layer {layer}",
            expected=f"a row of {width} numbers per persona",
            got=tuple(values.shape),
        )
    return flat
