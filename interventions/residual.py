"""Steering of block outputs: a direction added to the residual stream after chosen layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from interventions.places import Places
from interventions.rowwise import PerRow, checked_table


class Adding(PerRow):
    """Adds a vector per persona at its sites; the common part of shifts of heads, neurons and block outputs."""

    neutral: ClassVar[tuple[float, ...]] = (0.0,)

    def placed(self, table: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        """The vectors at their strength (R, W)."""
        vectors = table[:, 0] * strength
        # Adding -0.0 leaves every number as it is, its sign of zero included; adding 0.0 does not. And a strength of 0
        # is the base model whatever the vector holds.
        unchanged = (vectors == 0) | (strength == 0)
        return (torch.where(unchanged, torch.full_like(vectors, -0.0), vectors),)

    def change(self, hidden: Tensor, *placed: Tensor) -> Tensor:
        """The activations plus the vectors."""
        return hidden + placed[0]


class AddDirection(Adding):
    """Adds a direction to the output of decoder blocks, with a row per persona.

    Args:
        places: Of the model.
        directions: For each layer (P, D), or (D,) for one persona.
        strength: Multiplies them: one number, or one per persona (P,).

    Raises:
        InputError: There is no such layer, or a direction has another width than the model.
    """

    kind: ClassVar[str] = "block outputs"

    def __init__(self, places: Places, directions: Mapping[int, Tensor], strength: float | Tensor = 1.0) -> None:
        width = places.sites.hidden_size
        rows = {layer: value.unsqueeze(0) if value.dim() == 1 else value for layer, value in directions.items()}
        tables = {layer: checked_table(value, width, layer, "directions") for layer, value in rows.items()}
        super().__init__(
            {layer: places.block(layer) for layer in tables},
            {layer: table.unsqueeze(1) for layer, table in tables.items()},
            strength,
        )
