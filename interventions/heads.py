"""Steering of attention heads: vectors added where the heads enter the attention's output projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from files.errors import InputError
from interventions.applied import Site
from interventions.places import Places
from interventions.recorded import Recording
from interventions.residual import Adding
from interventions.rowwise import checked_table


class ShiftHeads(Adding):
    """Shifts attention heads by vectors, with a row per persona.

    They are added at the input of the output projection, which holds one part per query head, also where several of
    them share keys and values. That equals a bias of the projection, but leaves its parameters alone and may differ
    from row to row.

    Args:
        places: Of the model.
        vectors: For each layer (P, H, head_dim), or the same with the heads side by side (P, H * head_dim); zeros for
            heads that stay as they are.
        strength: Multiplies them: one number, or one per persona (P,).

    Raises:
        InputError: There is no such layer, or the vectors have another width than the model's heads.
    """

    kind: ClassVar[str] = "heads"

    def __init__(self, places: Places, vectors: Mapping[int, Tensor], strength: float | Tensor = 1.0) -> None:
        sites = places.sites
        width = sites.num_heads * sites.head_dim
        tables = {layer: checked_table(value, width, layer, "vectors") for layer, value in vectors.items()}
        super().__init__(
            {layer: places.heads(layer) for layer in tables},
            {layer: table.unsqueeze(1) for layer, table in tables.items()},
            strength,
        )

    @classmethod
    def sparse(cls, places: Places, heads: Tensor, vectors: Tensor, strength: float | Tensor = 1.0) -> ShiftHeads:
        """The shift of a few heads, which may be others for every persona.

        Args:
            places: Of the model.
            heads: (P, k, 2) layer and head of each vector.
            vectors: (P, k, head_dim).
            strength: One number, or one per persona (P,).

        Raises:
            InputError: A layer or head is not there, or the vectors have another width.
        """
        sites = places.sites
        people, count = vectors.shape[:2]
        if heads.shape != (people, count, 2) or vectors.shape[2] != sites.head_dim:
            raise InputError(
                "heads and vectors do not fit each other or the model",
                expected=f"heads (P, k, 2) and vectors (P, k, {sites.head_dim})",
                got=(tuple(heads.shape), tuple(vectors.shape)),
            )
        if heads.numel() and not (0 <= int(heads[..., 1].min()) and int(heads[..., 1].max()) < sites.num_heads):
            raise InputError(
                "no such head",
                expected=f"0 to {sites.num_heads - 1}",
                got=sorted({int(head) for head in heads[..., 1].flatten()}),
            )
        tables: dict[int, Tensor] = {}
        person = torch.arange(people, device=heads.device).unsqueeze(1).expand(people, count)
        for layer in sorted({int(layer) for layer in heads[..., 0].flatten()}):
            table = vectors.new_zeros(people, sites.num_heads, sites.head_dim)
            here = heads[..., 0] == layer
            places_here = (person[here].to(vectors.device), heads[..., 1][here].to(vectors.device))
            table.index_put_(places_here, vectors[here.to(vectors.device)], accumulate=True)
            tables[layer] = table
        return cls(places, tables, strength)


def head_sites(places: Places) -> list[Site]:
    """The sites of the heads of every layer, in order, for `recorded`."""
    return [places.heads(layer) for layer in places.layers]


def stacked_heads(recording: Recording, places: Places, layers: Sequence[int] | None = None) -> Tensor:
    """Recorded heads as one tensor (N, L, H, head_dim).

    Args:
        recording: Of `head_sites`, reduced to one vector per row.
        places: Of the model.
        layers: The layers that were recorded; all of them where it is left out.
    """
    rows = [recording[places.heads(layer)] for layer in (places.layers if layers is None else layers)]
    return torch.stack(rows, dim=1).unflatten(-1, (places.sites.num_heads, places.sites.head_dim))
