"""The control of steering along directions: random ones of the same length, at the same places."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from interventions.applied import Combined, Intervention
from interventions.limited import Limited
from interventions.residual import Adding


def random_directions(intervention: Intervention, keys: Sequence[str], signs: Sequence[int], seed: int) -> Intervention:
    """Exchange every vector that is added for a random one of its length.

    A draw depends on the seed, the key and the layer alone, so two rows of one key are steered along the same line.

    Args:
        intervention: Adds vectors, with a row per record; also several such, or on some tokens only.
        keys: For each row what its draw depends on.
        signs: For each row 1, or -1 to steer the other way along the same line.
        seed: Seed of the draws.

    Raises:
        TypeError: It does something other than adding vectors.
    """
    if isinstance(intervention, Combined):
        return Combined([random_directions(part, keys, signs, seed) for part in intervention.parts])
    if isinstance(intervention, Limited):
        inner = random_directions(intervention.intervention, keys, signs, seed)
        return Limited(inner, phase=intervention.phase, positions=intervention.positions)
    if not isinstance(intervention, Adding):
        raise TypeError(f"expected vectors that are added, but got {type(intervention).__name__}")
    plain = intervention.resolved()
    if len(plain) != len(keys):
        raise ValueError(f"expected a key for each of {len(plain)} rows but got {len(keys)}")
    return plain.with_tables(
        {layer: _drawn(table, [(seed, layer, key) for key in keys], signs) for layer, table in plain.tables.items()}
    )


def _drawn(table: Tensor, names: Sequence[tuple[int, int, str]], signs: Sequence[int]) -> Tensor:
    """Random vectors as long as those of a table (P, 1, D)."""
    lines = {name: _line(name, table.shape[-1]) for name in names}
    drawn = torch.stack([lines[name] for name in names]).unsqueeze(1).to(table)
    sign = torch.tensor(signs).view(-1, 1, 1).to(table)
    return drawn * sign * table.norm(dim=-1, keepdim=True)


def _line(name: tuple[int, int, str], width: int) -> Tensor:
    digest = hashlib.sha256(repr(name).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    drawn = torch.randn(width, generator=generator)
    return drawn / drawn.norm()
