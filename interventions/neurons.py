"""Steering of MLP neurons: numbers added, factors, bounds; at the activated gate or before the down projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from interventions.places import NeuronSite, Places
from interventions.residual import Adding
from interventions.rowwise import PerRow, checked_table


class AddNeurons(Adding):
    """Adds numbers to neurons, with a row per persona.

    Args:
        places: Of the model.
        amounts: For each layer (P, mlp_width); 0 for neurons that stay as they are.
        at: At the activated gate, or at the input of the down projection.
        strength: Multiplies them: one number, or one per persona (P,).

    Raises:
        InputError: There is no such layer, or the numbers have another width than the MLP; as in the other classes.
    """

    kind: ClassVar[str] = "neurons added"

    def __init__(
        self,
        places: Places,
        amounts: Mapping[int, Tensor],
        at: NeuronSite = "gate",
        strength: float | Tensor = 1.0,
    ) -> None:
        self.at: NeuronSite = at
        tables = {layer: _table(places, layer, value) for layer, value in amounts.items()}
        super().__init__({layer: places.neurons(layer, at) for layer in tables}, tables, strength)

    @property
    def options(self) -> dict[str, Any]:
        """Where it acts."""
        return {"at": self.at}


class ScaleNeurons(PerRow):
    """Multiplies neurons by factors, with a row per persona; at strength s by `1 + s * (factor - 1)`.

    Args:
        places: Of the model.
        factors: For each layer (P, mlp_width); 1 for neurons that stay as they are, 0 to switch one off.
        at: At the activated gate, or at the input of the down projection.
        strength: One number, or one per persona (P,).
    """

    kind: ClassVar[str] = "neurons scaled"
    neutral: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(
        self,
        places: Places,
        factors: Mapping[int, Tensor],
        at: NeuronSite = "down",
        strength: float | Tensor = 1.0,
    ) -> None:
        self.at: NeuronSite = at
        tables = {layer: _table(places, layer, value) for layer, value in factors.items()}
        super().__init__({layer: places.neurons(layer, at) for layer in tables}, tables, strength)

    @property
    def options(self) -> dict[str, Any]:
        """Where it acts."""
        return {"at": self.at}

    def placed(self, table: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        """The factors at their strength (R, W)."""
        factors = 1 + strength * (table[:, 0] - 1)
        factors = torch.where(strength == 1, table[:, 0], factors)
        return (torch.where(strength == 0, torch.ones_like(factors), factors),)

    def change(self, hidden: Tensor, *placed: Tensor) -> Tensor:
        """The activations times the factors."""
        return hidden * placed[0]


class ClampNeurons(PerRow):
    """Keeps neurons between bounds, with a row per persona; at strength s, s of the way from where they are.

    Args:
        places: Of the model.
        lower: For each layer the least values (P, mlp_width); -inf, or a layer left out, for no bound.
        upper: The largest values; inf, or a layer left out, for no bound.
        at: At the activated gate, or at the input of the down projection.
        strength: One number, or one per persona (P,).
    """

    kind: ClassVar[str] = "neurons clamped"
    neutral: ClassVar[tuple[float, ...]] = (-torch.inf, torch.inf)

    def __init__(
        self,
        places: Places,
        lower: Mapping[int, Tensor] | None = None,
        upper: Mapping[int, Tensor] | None = None,
        at: NeuronSite = "gate",
        strength: float | Tensor = 1.0,
    ) -> None:
        self.at: NeuronSite = at
        least = {layer: _table(places, layer, value) for layer, value in (lower or {}).items()}
        most = {layer: _table(places, layer, value) for layer, value in (upper or {}).items()}
        tables = {}
        for layer in sorted({*least, *most}):
            known = least[layer] if layer in least else most[layer]
            low = least.get(layer, torch.full_like(known, -torch.inf))
            high = most.get(layer, torch.full_like(known, torch.inf))
            if bool((low > high).any()):
                raise ValueError(f"expected lower bounds below the upper ones but in layer {layer} some are above")
            tables[layer] = torch.cat([low, high], dim=1)
        super().__init__({layer: places.neurons(layer, at) for layer in tables}, tables, strength)

    @property
    def options(self) -> dict[str, Any]:
        """Where it acts."""
        return {"at": self.at}

    def placed(self, table: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        """The bounds (R, W) and the strength (R, 1)."""
        return table[:, 0], table[:, 1], strength

    def change(self, hidden: Tensor, *placed: Tensor) -> Tensor:
        """The activations, as far as the strength says on their way to the bounds."""
        low, high, strength = placed
        clamped = torch.minimum(torch.maximum(hidden, low), high)
        # Both ends are exact, also for infinite values and down to the sign of zeros.
        moved = torch.where(strength == 1, clamped, hidden + strength * (clamped - hidden))
        return torch.where((clamped == hidden) | (strength == 0), hidden, moved)


class InduceNeurons(PerRow):
    """Holds neurons at or below ceilings and then adds numbers, at the activated gate, with a row per persona.

    The strength multiplies what is added. Ceilings hold at any strength above 0, and below it they are lifted: then
    the same numbers are taken away.

    Args:
        places: Of the model.
        amounts: For each layer (P, mlp_width); 0 for neurons that nothing is added to.
        ceilings: For each layer (P, mlp_width); inf for neurons that are not held.
        strength: One number, or one per persona (P,).

    Raises:
        InputError: There is no such layer, or the numbers have another width than the MLP.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024 (as released: first the
        opposite's neurons are held, then the trait's are pushed).
    """

    kind: ClassVar[str] = "neurons induced"
    neutral: ClassVar[tuple[float, ...]] = (0.0, torch.inf)

    def __init__(
        self,
        places: Places,
        amounts: Mapping[int, Tensor],
        ceilings: Mapping[int, Tensor],
        strength: float | Tensor = 1.0,
    ) -> None:
        tables = {
            layer: torch.cat([_table(places, layer, value), _table(places, layer, ceilings[layer])], dim=1)
            for layer, value in amounts.items()
        }
        super().__init__({layer: places.neurons(layer, "gate") for layer in tables}, tables, strength)

    def placed(self, table: Tensor, strength: Tensor) -> tuple[Tensor, ...]:
        """The ceilings and what is added (R, W)."""
        amounts = table[:, 0] * strength
        # As in `Adding`: -0.0 changes no bit, and at strength 0 nothing changes whatever the numbers are.
        unchanged = (amounts == 0) | (strength == 0)
        added = torch.where(unchanged, torch.full_like(amounts, -0.0), amounts)
        held = torch.where(strength > 0, table[:, 1], torch.full_like(amounts, torch.inf))
        return held, added

    def change(self, hidden: Tensor, *placed: Tensor) -> Tensor:
        """The activations, held and then pushed."""
        held, added = placed
        return torch.minimum(hidden, held) + added


def _table(places: Places, layer: int, values: Tensor) -> Tensor:
    """Numbers of one layer as (P, 1, W)."""
    rows = values.unsqueeze(0) if values.dim() == 1 else values
    return checked_table(rows, places.sites.mlp_width, layer, "numbers").unsqueeze(1)
