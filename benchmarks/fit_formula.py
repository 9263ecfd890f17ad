"""How much memory a run needs, part by part, from shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.model_shapes import Shape

FLOAT32 = 4
# Copies of the logits (B, T, V) that are alive at once when a loss is differentiated: the log-probabilities that were
# kept, their gradient, that of the logits, and the rows that it is put into.
_LOGIT_COPIES = 4


@dataclass
class Need:
    """Bytes by what they are for.

    Attributes:
        parts: From name to bytes; what is not there at the same time as the rest counts in `passing`.
        passing: Parts of which only the largest counts.
    """

    parts: dict[str, float] = field(default_factory=dict)
    passing: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All bytes held at the worst moment.

        >>> Need({"weights": 4.0}, {"a pass": 2.0, "the cache": 3.0}).total
        7.0
        """
        return sum(self.parts.values()) + max(self.passing.values(), default=0.0)

    def add(self, name: str, size: float, *, passing: bool = False) -> None:
        """Count some bytes; those of one name are added up.

        Args:
            name: What they are for.
            size: How many.
            passing: Whether they are not there together with other passing parts.
        """
        place = self.passing if passing else self.parts
        place[name] = place.get(name, 0.0) + size


def block_activations(shape: Shape, size: int, *, frozen: bool = False) -> float:
    """Bytes that one token leaves in one block for the backward pass, with fused attention.

    Both norms keep what enters them, its normed form and what leaves them; attention keeps queries, keys and values,
    the latter two repeated to the number of heads, and what it gives; the MLP keeps what enters and leaves its
    activation, and with a gate the other factor and the product. Frozen weights need no gradient, so what enters their
    layers is not kept: neither what leaves the norms nor the product.

    Args:
        shape: The model.
        size: Bytes of a number.
        frozen: Whether its weights need no gradient.

    >>> shape = Shape(0, layers=1, hidden=8, heads=2, key_value_heads=1, head_dim=4, mlp=16, gated=True, vocabulary=10)
    >>> block_activations(shape, 4), block_activations(shape, 4, frozen=True)
    (576.0, 384.0)
    """
    attention = 4 * shape.heads * shape.head_dim
    mlp = (4 if shape.gated else 2) * shape.mlp
    if frozen:
        return float((2 * shape.hidden + attention + mlp - shape.mlp) * size)
    return float((6 * shape.hidden + attention + mlp) * size)


def backward_pass(
    shape: Shape,
    tokens: int,
    size: int,
    *,
    predicted: int | None = None,
    blocks: int | None = None,
    frozen: bool = False,
) -> float:
    """Bytes of a forward pass that is differentiated.

    Args:
        shape: The model.
        tokens: Tokens that pass at once, padding included.
        size: Bytes of a number.
        predicted: Tokens whose logits are made; all where it is left out.
        blocks: Blocks that are differentiated; all where it is left out.
        frozen: Whether the model's weights need no gradient. The gradients of the block that is at work then count.
    """
    count = shape.layers if blocks is None else blocks
    made = tokens if predicted is None else predicted
    kept = tokens * (count * block_activations(shape, size, frozen=frozen) + 3 * shape.hidden * size)
    at_work = forward_pass(shape, tokens, size, predicted=0) if frozen else 0.0
    return kept + at_work + made * shape.vocabulary * FLOAT32 * _LOGIT_COPIES


def forward_pass(shape: Shape, tokens: int, size: int, *, predicted: int) -> float:
    """Bytes of a pass of which nothing is kept: the widest block, and the logits with their log-probabilities."""
    wide = 4 * shape.hidden + max((3 if shape.gated else 2) * shape.mlp, 4 * shape.heads * shape.head_dim)
    return float(tokens * wide * size + predicted * shape.vocabulary * 2 * FLOAT32)


def kept_states(shape: Shape, tokens: int, size: int) -> float:
    """Bytes of the keys and values of so many tokens."""
    return float(2 * shape.layers * shape.key_value_heads * shape.head_dim * tokens * size)


def training_state(trained: int, size: int, *, moments: int = 2) -> float:
    """Bytes of gradients and optimizer state.

    Args:
        trained: Trained numbers.
        size: Bytes of one.
        moments: Numbers that the optimizer keeps of each.

    >>> training_state(10, 4)
    120.0
    """
    return float(trained * size * (1 + moments))


def low_rank_parameters(shape: Shape, rank: int) -> int:
    """Numbers of a low-rank adapter on every linear layer of every block."""
    attention = shape.heads * shape.head_dim
    keys = shape.key_value_heads * shape.head_dim
    sides = 2 * (shape.hidden + attention) + 2 * (shape.hidden + keys)
    sides += (3 if shape.gated else 2) * (shape.hidden + shape.mlp)
    return shape.layers * rank * sides


def edit_network_parameters(widths: Sequence[tuple[int, int]], rank: int, hidden_layers: int = 1) -> int:
    """Numbers of MEND's network: a transform for each pair of widths, shared by the weights that have it.

    Args:
        widths: (in, out) of each edited weight.
        rank: Rank of its matrices.
        hidden_layers: Its hidden layers.

    >>> edit_network_parameters([(2, 3), (2, 3)], rank=4)
    132
    """
    total = len(widths)
    for width_in, width_out in set(widths):
        width, shared = width_in + width_out, widths.count((width_in, width_out))
        layer = 2 * min(rank, width) * width + width + 2 * shared * width
        total += (hidden_layers + 1) * layer
    return total


def edited_widths(shape: Shape, roles: Sequence[str], layers: int) -> list[tuple[int, int]]:
    """(in, out) of each edited weight."""
    inward = {"gate": (shape.hidden, shape.mlp), "up": (shape.hidden, shape.mlp), "fc": (shape.hidden, shape.mlp)}
    outward = {"down": (shape.mlp, shape.hidden), "proj": (shape.mlp, shape.hidden)}
    attention = {"attention_out": (shape.heads * shape.head_dim, shape.hidden)}
    both = {**inward, **outward, **attention, "gate_up": (shape.hidden, 2 * shape.mlp)}
    return [both[role] for role in roles] * layers
