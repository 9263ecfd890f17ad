"""Common beginnings of prompts, computed once: which prompts to run together, and the states to start them from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lm.passes import Rows, States, Steering, forward

# What a forward pass costs beside its tokens, in tokens: below this saving a prefix is not worth a pass of its own.
PASS_COST = 128
_DEEPEST = 40


@dataclass(frozen=True)
class Batch:
    """Prompts to run together.

    Attributes:
        items: Their numbers.
        shared: How many tokens at their beginning they all share and should be computed once.
    """

    items: tuple[int, ...]
    shared: int


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of tokens at the beginning that two sequences share.

    >>> common_length([1, 2, 3], [1, 2, 4, 5])
    2
    """
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next(place for place in range(length) if left[place] != right[place])


def plan_batches(prompts: Sequence[Sequence[int]], keys: Sequence[int], batch_size: int) -> list[Batch]:
    """Arrange prompts in batches such that long common beginnings are computed once.

    Prompts are put in the order of their tokens, where common beginnings stand together, nested ones inside longer runs
    (a description before many questions, a question before many options). A beginning becomes a batch's prefix where it
    saves more than the extra pass costs; the other prompts are batched by length. The plan changes the amount of work,
    never a result.

    >>> plan_batches([[1] * 300 + [5], [2, 3], [1] * 300 + [6]], keys=[0, 0, 0], batch_size=8)
    [Batch(items=(0, 2), shared=300), Batch(items=(1,), shared=0)]

    Args:
        prompts: Token ids of each prompt.
        keys: Steering key of each; only prompts with one key share.
        batch_size: Most prompts in one batch.
    """
    order = sorted(range(len(prompts)), key=lambda item: (keys[item], list(prompts[item])))
    pairs = zip(order, order[1:], strict=False)
    # shared[i]: tokens that prompt i in this order shares with the one after it; -1 between two keys.
    shared = [common_length(prompts[a], prompts[b]) if keys[a] == keys[b] else -1 for a, b in pairs]
    planner = _Planner([len(prompts[item]) for item in order], shared, batch_size)
    loose: list[int] = []
    for start, end in _cut(0, len(order), shared, -1):
        loose += planner.arrange(start, end, paid=0, depth=0)
    planner.add(loose, 0)
    return [Batch(tuple(order[place] for place in batch.items), batch.shared) for batch in planner.batches]


class _Planner:
    """Collects batches while it goes through the runs of prompts with a common beginning."""

    def __init__(self, lengths: list[int], shared: list[int], batch_size: int) -> None:
        self.lengths = lengths
        self.shared = shared
        self.batch_size = batch_size
        self.batches: list[Batch] = []

    def arrange(self, start: int, end: int, paid: int, depth: int) -> list[int]:
        """Batch the prompts from start to end where that pays; return those left to the caller.

        Args:
            start: First prompt of the run.
            end: The one after its last.
            paid: Length of the beginning that the caller would share anyway.
            depth: How many runs this one is nested in.
        """
        if end - start < 2 or depth > _DEEPEST:
            return list(range(start, end))
        least = min(self.shared[start : end - 1])
        loose: list[int] = []
        for inner_start, inner_end in _cut(start, end, self.shared, least):
            loose += self.arrange(inner_start, inner_end, least, depth + 1)
        # At least one token of every prompt is left to compute, for the logits after it.
        prefix = min(least, *(self.lengths[place] - 1 for place in range(start, end)))
        share = len(loose) / self.batch_size
        extra_passes = 1 + (-(-len(loose) // self.batch_size) - share)
        if (len(loose) - 1) * (prefix - paid) > PASS_COST * extra_passes:
            self.add(loose, prefix)
            return []
        return loose

    def add(self, places: list[int], prefix: int) -> None:
        """Batch prompts of similar length that start from one prefix."""
        ordered = sorted(places, key=lambda place: (self.lengths[place], place))
        for start in range(0, len(ordered), self.batch_size):
            self.batches.append(Batch(tuple(ordered[start : start + self.batch_size]), prefix))


def _cut(start: int, end: int, shared: list[int], least: int) -> list[tuple[int, int]]:
    """Cut a run where neighbours share no more than `least` tokens."""
    cuts = [place + 1 for place in range(start, end - 1) if shared[place] <= least]
    return list(zip([start, *cuts], [*cuts, end], strict=True)) if end > start else []


class PrefixCache:
    """The states of one token sequence, kept from batch to batch and computed only where they change.

    Args:
        model: The model; it must not change between calls, except by steering.
        steering: What steers it, if anything.
    """

    def __init__(self, model: PreTrainedModel, steering: Steering | None) -> None:
        self._model = model
        self._steering = steering
        self._ids: list[int] = []
        self._key = 0
        self._states: States = []

    def states(self, ids: Sequence[int], key: int) -> States:
        """Keys and values (1, heads, T, head_dim) per layer of a sequence steered by a key."""
        kept = common_length(self._ids, list(ids)) if key == self._key else 0
        states: States = [(keys[:, :, :kept], values[:, :, :kept]) for keys, values in self._states] if kept else []
        if kept < len(ids):
            device = self._model.device
            rows = Rows(
                ids=torch.tensor([list(ids[kept:])], device=device),
                mask=torch.ones((1, len(ids) - kept), dtype=torch.long, device=device),
                keys=torch.tensor([key], device=device),
                past=states or None,
                past_mask=torch.ones((1, kept), dtype=torch.long, device=device) if kept else None,
                closes_prompt=False,
            )
            _, states = forward(self._model, rows, self._steering, last_only=True)
        self._ids, self._key, self._states = list(ids), key, states
        return states


def repeated(states: States, rows: int) -> States:
    """States of one row as those of many, without a copy."""
    return [(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)) for keys, values in states]


def chosen(states: States, rows: torch.Tensor) -> States:
    """The states of chosen rows, in the order asked for; a row may be chosen several times."""
    return [(keys[rows.to(keys.device)], values[rows.to(values.device)]) for keys, values in states]
