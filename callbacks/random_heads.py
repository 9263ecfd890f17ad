"""A control: shifts of the same size in heads and along directions drawn at random."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from callbacks.pas_described import trained_pas
from callbacks.steering import RowIntervention, SteeringCallback


class RandomHeads(SteeringCallback):
    """Shifts as many heads as the trained PAS, by vectors as long as its own, but heads and directions are drawn.

    What PAS gains over it is owed to where and along what it steers, not to the disturbance. Each person's draw depends
    on the seed and the person alone.

    Args:
        seed: Seed of the draws.
    """

    method = "random_heads"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def settings(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def fit(self) -> None:
        """See that the checkpoint is one of PAS.

        Raises:
            InputError: If it is another method's, or there is none.
        """
        trained_pas(self.evaluation.trained, self.method)

    def intervene(self, batch: Any) -> RowIntervention:
        """A drawn shift for each person."""
        pas = trained_pas(self.evaluation.trained, self.method)
        heads, vectors = (part.cpu() for part in pas.shifted_heads(batch))
        parts, count = vectors.shape[1:3]
        sites = pas.places.sites
        drawn = []
        for record, name in enumerate(batch.questions.ids):
            generator = torch.Generator().manual_seed(_seed(self.seed, name))
            own = heads[record].flatten(0, 1), vectors[record].flatten(0, 1)
            drawn.append(drawn_heads(*own, sites.num_layers, sites.num_heads, generator))
        rows = (torch.stack(of).unflatten(1, (parts, count)).to(pas.device) for of in zip(*drawn, strict=True))
        return pas.shift(*rows, batch.questionnaire)


def drawn_heads(
    heads: torch.Tensor, vectors: torch.Tensor, layers: int, width: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Exchange each head for another one and each vector for one of its length.

    Args:
        heads: (m, 2) layer and head; one may stand there several times, and so does what it is exchanged for.
        vectors: (m, head_dim).
        layers: Number of layers of the model.
        width: Number of heads of a layer.
        generator: Where the draws come from.

    Returns:
        Heads (m, 2), as many different ones as before, and vectors (m, head_dim).

    Example:
        >>> heads, vectors = torch.tensor([[0, 1], [1, 0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
        >>> others, shifts = drawn_heads(heads, vectors, 4, 4, torch.Generator().manual_seed(0))
        >>> len(set(map(tuple, others.tolist()))), shifts.norm(dim=-1)
        (2, tensor([5., 1.]))
    """
    order = torch.randperm(layers * width, generator=generator)
    numbers = order[heads[:, 0] * width + heads[:, 1]]
    directions = torch.randn(vectors.shape, generator=generator)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return torch.stack([numbers // width, numbers % width], -1), directions * vectors.norm(dim=-1, keepdim=True)


def _seed(seed: int, name: str) -> int:
    """A seed of its own for every person."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
