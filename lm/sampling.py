"""Drawing tokens such that every row of a batch has its own random numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor


class RowSampler(LogitsProcessor):
    """Draws one token per row from the row's own random numbers, and leaves that token alone possible.

    Args:
        uniforms: A random number in [0, 1) for each row and step (B, steps).
        prompt_width: Width of the prompts, from which the step is counted.
        temperature: Divides the logits.
        top_p: Smallest total probability of the likeliest tokens that are drawn from.
    """

    def __init__(self, uniforms: Tensor, prompt_width: int, temperature: float, top_p: float) -> None:
        self.uniforms = uniforms
        self.prompt_width = prompt_width
        self.temperature = temperature
        self.top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits (B, V) that are 0 for the token drawn and -inf for the others."""
        uniform = self.uniforms[:, input_ids.shape[1] - self.prompt_width]
        drawn = draw_tokens(scores, uniform.to(scores.device), self.temperature, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.unsqueeze(-1), 0.0)


def draw_tokens(logits: Tensor, uniform: Tensor, temperature: float, top_p: float) -> Tensor:
    """Sample one token per row (B,) from logits (B, V), given one random number per row (B,).

    The tokens are laid out by falling probability, and the one under the random number is taken.

    >>> logits = torch.tensor([[0.0, 2.0, 1.0]])
    >>> [int(draw_tokens(logits, torch.tensor([u]), 1.0, 1.0)) for u in (0.0, 0.7, 0.95)]
    [1, 2, 0]
    >>> int(draw_tokens(logits, torch.tensor([0.95]), 1.0, top_p=0.6))
    1
    """
    probabilities, tokens = (logits.float() / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    cumulative = probabilities.cumsum(-1)
    # A token stays in the set as long as the likelier ones fall short of top_p; the likeliest always does.
    kept = ((cumulative - probabilities) < top_p).sum(-1, keepdim=True)
    target = uniform.unsqueeze(-1) * cumulative.gather(-1, kept - 1)
    place = torch.minimum((cumulative <= target).sum(-1, keepdim=True), kept - 1)
    return tokens.gather(-1, place).squeeze(-1)


def row_uniforms(encoded: Sequence[Sequence[int]], steps: int, seed: int) -> Tensor:
    """A random number in [0, 1) for each prompt and step (N, steps).

    They depend on the seed, the prompt and how often it came before, and on nothing else in the list.

    >>> first, second = row_uniforms([[1, 2], [3]], 4, seed=0), row_uniforms([[3], [1, 2]], 4, seed=0)
    >>> torch.equal(first, second.flip(0))
    True
    """
    seen: Counter[tuple[int, ...]] = Counter()
    numbers = torch.empty(len(encoded), steps)
    for row, ids in enumerate(encoded):
        name = tuple(ids)
        digest = hashlib.sha256(repr((seed, name, seen[name])).encode()).digest()
        seen[name] += 1
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        numbers[row] = torch.rand(steps, generator=generator)
    return numbers
