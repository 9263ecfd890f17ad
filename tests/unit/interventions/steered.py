"""Interventions of every kind, and batches to try them on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.applied import Intervention, applied
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.neurons import AddNeurons, ClampNeurons, InduceNeurons, ScaleNeurons
from interventions.places import Places, places_of
from interventions.residual import AddDirection

PEOPLE = 3
LENGTHS = (9, 5, 7)


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shift_heads(places: Places, people: int = PEOPLE) -> ShiftHeads:
    sites = places.sites
    return ShiftHeads(
        places,
        {layer: numbers(people, sites.num_heads, sites.head_dim, seed=layer) for layer in places.layers},
    )


def add_direction(places: Places, people: int = PEOPLE) -> AddDirection:
    return AddDirection(places, {1: numbers(people, places.sites.hidden_size, seed=5)})


def add_neurons(places: Places, people: int = PEOPLE) -> AddNeurons:
    return AddNeurons(places, {0: numbers(people, places.sites.mlp_width, seed=6)})


def scale_neurons(places: Places, people: int = PEOPLE) -> ScaleNeurons:
    return ScaleNeurons(places, {1: numbers(people, places.sites.mlp_width, seed=7)})


def clamp_neurons(places: Places, people: int = PEOPLE) -> ClampNeurons:
    bounds = numbers(people, places.sites.mlp_width, seed=8, scale=0.1)
    return ClampNeurons(places, lower={0: bounds}, upper={0: bounds + 0.05, 1: bounds})


def induce_neurons(places: Places, people: int = PEOPLE) -> InduceNeurons:
    width = places.sites.mlp_width
    ceilings = torch.where(numbers(people, width, seed=10) > 0, 0.0, torch.inf)
    return InduceNeurons(places, {1: numbers(people, width, seed=11)}, {1: ceilings})


def combined(places: Places, people: int = PEOPLE) -> Intervention:
    return shift_heads(places, people) + 0.5 * clamp_neurons(places, people) + add_neurons(places, people)


def limited(places: Places, people: int = PEOPLE) -> Intervention:
    last = Limited(add_direction(places, people), positions="last")
    return last + Limited(shift_heads(places, people), phase="prompt", positions="all_but_last")


KINDS: dict[str, Callable[..., Intervention]] = {
    kind.__name__: kind
    for kind in (
        *(shift_heads, add_direction, add_neurons, scale_neurons, clamp_neurons, induce_neurons, combined, limited),
    )
}


def texts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(6, 272, (length,), generator=generator) for length in LENGTHS]


def batch(rows: list[Tensor], side: str) -> dict[str, Tensor]:
    """Padded ids, mask and positions."""
    width = max(len(row) for row in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[number, place], mask[number, place] = row, 1
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}


def logits(model: PreTrainedModel, given: dict[str, Tensor], *interventions: Intervention) -> Tensor:
    """Logits of the real tokens of all rows, one row after the other."""
    with torch.no_grad(), applied(model, *interventions):
        return model(**given).logits[given["attention_mask"].bool()]


def places(model: PreTrainedModel) -> Places:
    return places_of(model)
