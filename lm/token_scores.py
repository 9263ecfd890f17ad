"""Log-probabilities of token sequences after prompts: each prompt is run once, for all that may follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from files.errors import InputError
from lm.passes import Rows, States, Steering, check_length, evaluating, forward, padded
from lm.prefix import Batch, PrefixCache, chosen, plan_batches, repeated

# Most numbers in one tensor of logits, and in one float32 copy of a part of it.
_LOGITS_AT_ONCE = 2**28
_FLOATS_AT_ONCE = 2**24


@dataclass
class Item:
    """A prompt and the token sequences to score after it.

    Attributes:
        prompt: Its token ids, at least one.
        key: Its steering key.
        continuations: The sequences, each of at least one token.
    """

    prompt: list[int]
    key: int
    continuations: list[list[int]]


def score_items(
    model: PreTrainedModel, items: Sequence[Item], batch_size: int, steering: Steering | None
) -> list[list[Tensor]]:
    """For each item and each of its continuations the log-probability of each token, float32 on the CPU.

    Raises:
        InputError: A prompt with its continuation is longer than the model can read, or the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError("no rows to compute at once", field="batch_size", expected="1 or more", got=batch_size)
    longest = max((len(item.prompt) + max(map(len, item.continuations)) for item in items), default=0)
    check_length(model, longest, "a prompt with its continuation")
    scorer = _Scorer(model, items, batch_size, steering)
    with evaluating(model):
        for batch in plan_batches([item.prompt for item in items], [item.key for item in items], batch_size):
            scorer.score(batch)
    return [[torch.cat(parts) for parts in of_item] for of_item in scorer.parts]


def selected_log_probs(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probability (N,) in float32 of one token per row of logits (N, V).

    The softmax is taken over a part of the rows at a time, so that logits of a smaller format are never all copied.

    >>> selected_log_probs(torch.zeros(2, 4), torch.tensor([0, 3])).exp()
    tensor([0.2500, 0.2500])
    """
    rows = max(1, _FLOATS_AT_ONCE // logits.shape[-1])
    parts = []
    for some_logits, some_ids in zip(logits.split(rows), ids.split(rows), strict=True):
        some = some_logits.float()
        parts.append(some.gather(-1, some_ids.unsqueeze(-1)).squeeze(-1) - some.logsumexp(-1))
    return torch.cat(parts) if parts else logits.new_zeros(0, dtype=torch.float32)


@dataclass(frozen=True)
class _Place:
    """Where a continuation stands: its prompt's row in the batch, and its numbers among items and continuations."""

    row: int
    item: int
    option: int


class _Scorer:
    """Scores batch after batch of prompts; keeps the states of the beginning they share."""

    def __init__(
        self, model: PreTrainedModel, items: Sequence[Item], batch_size: int, steering: Steering | None
    ) -> None:
        self.model = model
        self.items = items
        self.batch_size = batch_size
        self.steering = steering
        self.prefix = PrefixCache(model, steering)
        self.parts: list[list[list[Tensor]]] = [[[] for _ in item.continuations] for item in items]

    def score(self, batch: Batch) -> None:
        """Run the prompts of a batch once, then what is left of the continuations after their first token."""
        rows = self._prompt_rows(batch)
        logits, states = forward(self.model, rows, self.steering, last_only=True)
        log_probs = logits[:, -1].float().log_softmax(-1)
        places = [
            _Place(row, item, option)
            for row, item in enumerate(batch.items)
            for option in range(len(self.items[item].continuations))
        ]
        parents = torch.tensor([place.row for place in places], device=log_probs.device)
        firsts = torch.tensor([self._ids(place)[0] for place in places], device=log_probs.device)
        for place, value in zip(places, log_probs[parents, firsts].cpu().split(1), strict=True):
            self.parts[place.item][place.option].append(value)
        self._score_later(rows, states, [place for place in places if len(self._ids(place)) > 1])

    def _ids(self, place: _Place) -> list[int]:
        return self.items[place.item].continuations[place.option]

    def _prompt_rows(self, batch: Batch) -> Rows:
        """The prompts of a batch, left-padded, after the beginning they share."""
        device = self.model.device
        group = [self.items[item] for item in batch.items]
        longest = max(len(item.prompt) + max(map(len, item.continuations)) for item in group)
        # Padding between the shared beginning and the rest would push the rest out of a sliding window.
        shared = batch.shared if longest <= _window(self.model) else 0
        ids, mask = padded([item.prompt[shared:] for item in group], "left", device)
        rows = Rows(ids, mask, torch.tensor([item.key for item in group], device=device))
        if shared:
            states = self.prefix.states(group[0].prompt[:shared], group[0].key)
            rows.past = repeated(states, len(group))
            rows.past_mask = torch.ones((len(group), shared), dtype=torch.long, device=device)
        return rows

    def _score_later(self, prompts: Rows, states: States, places: list[_Place]) -> None:
        """Score all tokens but the first of continuations that start from the states of their prompts."""
        mask = prompts.mask if prompts.past_mask is None else torch.cat([prompts.past_mask, prompts.mask], dim=1)
        # Continuations of similar length go together; ties keep their order.
        places = sorted(places, key=lambda place: len(self._ids(place)))
        longest = len(self._ids(places[-1])) if places else 1
        vocabulary = self.model.get_output_embeddings().weight.shape[0]
        at_once = max(1, min(self.batch_size, _LOGITS_AT_ONCE // (longest * vocabulary)))
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            parents = torch.tensor([place.row for place in some], device=mask.device)
            ids, new_mask = padded([self._ids(place)[:-1] for place in some], "right", mask.device)
            targets, _ = padded([self._ids(place)[1:] for place in some], "right", mask.device)
            rows = Rows(ids, new_mask, prompts.keys[parents], chosen(states, parents), mask[parents], is_answer=True)
            logits, _ = forward(self.model, rows, self.steering, last_only=False)
            values = (
                selected_log_probs(logits.flatten(0, 1), targets.flatten().to(logits.device)).view_as(targets).cpu()
            )
            for place, of_row in zip(some, values, strict=True):
                self.parts[place.item][place.option].append(of_row[: len(self._ids(place)) - 1])


def _window(model: PreTrainedModel) -> float:
    """Length of the sliding attention window, infinite where there is none."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    return window if isinstance(window, int) and window > 0 else float("inf")
