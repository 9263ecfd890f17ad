"""Log-probabilities of token sequences after prompts: each prompt is run once, for all that may follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from files.errors import InputError
from lm.limits import check_length
from lm.packed import SHARED, Packed, packs, run_packed, worth_packing
from lm.passes import Rows, States, Steering, evaluating, forward, padded
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
        by: Number of what steers it.
    """

    prompt: list[int]
    key: int
    continuations: list[list[int]]
    by: int = 0


def score_items(
    model: PreTrainedModel, items: Sequence[Item], batch_size: int, steerings: Sequence[Steering | None]
) -> list[list[Tensor]]:
    """For each item and each of its continuations the log-probability of each token, float32 on the CPU.

    Args:
        model: The model.
        items: What to score.
        batch_size: Most rows computed at once.
        steerings: What steers the items, by number; several only if each of them spares prompts or steers nothing.

    Raises:
        InputError: A prompt with its continuation is longer than the model can read, or the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError("no rows to compute at once", field="batch_size", expected="1 or more", got=batch_size)
    scorer = _Scorer(model, items, batch_size, steerings)
    check_length(model, scorer.longest, "a prompt with its continuation")
    with evaluating(model):
        if scorer.spares_prompts and all(len(item.prompt) > 1 for item in items):
            groups: dict[tuple[int, ...], list[int]] = {}
            for number, item in enumerate(items):
                groups.setdefault(tuple(item.prompt[:-1]), []).append(number)
            bodies = [list(body) for body in groups]
            for batch in plan_batches(bodies, [0] * len(bodies), batch_size):
                scorer.score_after(batch, bodies, list(groups.values()))
        else:
            for batch in plan_batches([item.prompt for item in items], [item.key for item in items], batch_size):
                scorer.score(batch)
    return [[torch.cat(parts) for parts in of_item] for of_item in scorer.parts]


def can_share_prompts(steerings: Sequence[Steering | None]) -> bool:
    """Whether prompts are the same up to their last token, whichever of several things steers them."""
    return all(steering is None or steering.spares_prompts for steering in steerings)


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
        self, model: PreTrainedModel, items: Sequence[Item], batch_size: int, steerings: Sequence[Steering | None]
    ) -> None:
        self.model = model
        self.items = items
        self.batch_size = batch_size
        self.steerings = steerings
        self.spares_prompts = any(steerings) and can_share_prompts(steerings)
        self.steering = None if self.spares_prompts else steerings[0]
        self.longest = max((len(item.prompt) + max(map(len, item.continuations)) for item in items), default=0)
        self.prefix = PrefixCache(model, self.steering)
        self.parts: list[list[list[Tensor]]] = [[[] for _ in item.continuations] for item in items]

    def score(self, batch: Batch) -> None:
        """Run the prompts of a batch once, then what is left of the continuations after their first token."""
        group = [self.items[item] for item in batch.items]
        if self._can_pack(batch, batch.items) and (self.steering is None or self.steering.all_alike):
            self._score_packed(batch)
            return
        rows = self._prompt_rows([item.prompt for item in group], [item.key for item in group], batch)
        logits, states = forward(self.model, rows, self.steering, last_only=True)
        self._score_ends(logits[:, -1], batch.items, rows, states, self.steering)

    def score_after(self, batch: Batch, bodies: Sequence[list[int]], members: Sequence[Sequence[int]]) -> None:
        """Run the prompts of a batch up to their last token, unsteered, then that token for every item, steered.

        Args:
            batch: Prompts without their last token, by number.
            bodies: All of them.
            members: For each the items whose prompts begin with it.
        """
        if self._can_pack(batch, [item for number in batch.items for item in members[number]]):
            self._score_packed_after(batch, bodies, members)
            return
        body = self._prompt_rows([bodies[number] for number in batch.items], [0] * len(batch.items), batch)
        body.closes_prompt = False
        _, states = forward(self.model, body, None, last_only=True)
        mask = body.mask if body.past_mask is None else torch.cat([body.past_mask, body.mask], dim=1)
        ends = [(row, item) for row, number in enumerate(batch.items) for item in members[number]]
        for by, steering in enumerate(self.steerings):
            own = [(row, item) for row, item in ends if self.items[item].by == by]
            for start in range(0, len(own), self.batch_size):
                parents = torch.tensor([row for row, _ in own[start : start + self.batch_size]], device=mask.device)
                items = [item for _, item in own[start : start + self.batch_size]]
                ids = torch.tensor([self.items[item].prompt[-1:] for item in items], device=mask.device)
                keys = torch.tensor([self.items[item].key for item in items], device=mask.device)
                rows = Rows(ids, torch.ones_like(ids), keys, chosen(states, parents), mask[parents])
                logits, after = forward(self.model, rows, steering, last_only=True)
                self._score_ends(logits[:, -1], items, rows, after, steering)

    def _can_pack(self, batch: Batch, items: Sequence[int]) -> bool:
        """Whether prompts can share a row: after a long beginning, and with nothing to run after them."""
        short = all(len(ids) == 1 for item in items for ids in self.items[item].continuations)
        return short and self.longest <= sliding_window(self.model) and worth_packing(self.model, batch.shared)

    def _beginning(self, ids: Sequence[int], key: int) -> Packed:
        owners = torch.full((len(ids),), SHARED, device=self.model.device)
        return Packed(self.prefix.states(ids, key), owners)

    def _score_packed(self, batch: Batch) -> None:
        """Run the prompts of a batch side by side, after the beginning they share."""
        first, shared = self.items[batch.items[0]], batch.shared
        before = self._beginning(first.prompt[:shared], first.key)
        texts = [self.items[item].prompt[shared:] for item in batch.items]
        enter = None if self.steering is None else self.steering.enter
        for pack in packs([len(text) for text in texts], self.model.device):
            count = len(pack)
            some = texts[pack.start : pack.stop]
            logits, _ = run_packed(self.model, before, some, range(count), [shared] * count, enter, first.key)
            self._score_ends(logits, batch.items[pack.start : pack.stop])

    def _score_packed_after(self, batch: Batch, bodies: Sequence[list[int]], members: Sequence[Sequence[int]]) -> None:
        """As `score_after`, side by side: unsteered bodies, then for each key the last tokens that it steers."""
        shared = batch.shared
        before = self._beginning(bodies[batch.items[0]][:shared], 0)
        # Side by side stand those that are steered by the same keys: there is a pass for each key of a pack.
        order = sorted(batch.items, key=lambda number: [self._steered_by(item) for item in members[number]])
        texts = [bodies[number][shared:] for number in order]
        for pack in packs([len(text) for text in texts], self.model.device):
            some = texts[pack.start : pack.stop]
            _, after = run_packed(self.model, before, some, range(len(pack)), [shared] * len(pack))
            of_key: dict[tuple[int, int], list[tuple[int, int]]] = {}
            for text, number in enumerate(order[pack.start : pack.stop]):
                for item in members[number]:
                    of_key.setdefault(self._steered_by(item), []).append((text, item))
            for (by, key), ends in of_key.items():
                steering = self.steerings[by]
                enter = None if steering is None else steering.enter
                tokens = [self.items[item].prompt[-1:] for _, item in ends]
                places = [len(self.items[item].prompt) - 1 for _, item in ends]
                owners = [text for text, _ in ends]
                logits, _ = run_packed(self.model, after, tokens, owners, places, enter, key, are_ends=True)
                self._score_ends(logits, [item for _, item in ends])

    def _steered_by(self, item: int) -> tuple[int, int]:
        """What steers an item, and its key."""
        return self.items[item].by, self.items[item].key

    def _score_ends(
        self,
        logits: Tensor,
        items: Sequence[int],
        rows: Rows | None = None,
        states: States | None = None,
        steering: Steering | None = None,
    ) -> None:
        """Take the first token of the continuations off the logits after their prompts, then score the others."""
        log_probs = logits.float().log_softmax(-1)
        places = [
            _Place(row, item, option)
            for row, item in enumerate(items)
            for option in range(len(self.items[item].continuations))
        ]
        parents = torch.tensor([place.row for place in places], device=log_probs.device)
        firsts = torch.tensor([self._ids(place)[0] for place in places], device=log_probs.device)
        for place, value in zip(places, log_probs[parents, firsts].cpu().split(1), strict=True):
            self.parts[place.item][place.option].append(value)
        if rows is not None and states is not None:
            self._score_later(rows, states, [place for place in places if len(self._ids(place)) > 1], steering)

    def _ids(self, place: _Place) -> list[int]:
        return self.items[place.item].continuations[place.option]

    def _prompt_rows(self, prompts: Sequence[list[int]], keys: Sequence[int], batch: Batch) -> Rows:
        """Prompts, left-padded, after the beginning they share."""
        device = self.model.device
        # Padding between the shared beginning and the rest would push the rest out of a sliding window.
        shared = batch.shared if self.longest <= sliding_window(self.model) else 0
        ids, mask = padded([prompt[shared:] for prompt in prompts], "left", device)
        rows = Rows(ids, mask, torch.tensor(keys, device=device))
        if shared:
            states = self.prefix.states(prompts[0][:shared], keys[0])
            rows.past = repeated(states, len(prompts))
            rows.past_mask = torch.ones((len(prompts), shared), dtype=torch.long, device=device)
        return rows

    def _score_later(self, prompts: Rows, states: States, places: list[_Place], steering: Steering | None) -> None:
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
            logits, _ = forward(self.model, rows, steering, last_only=False)
            values = (
                selected_log_probs(logits.flatten(0, 1), targets.flatten().to(logits.device)).view_as(targets).cpu()
            )
            for place, of_row in zip(some, values, strict=True):
                self.parts[place.item][place.option].append(of_row[: len(self._ids(place)) - 1])


def sliding_window(model: PreTrainedModel) -> float:
    """Length of the sliding attention window, infinite where there is none."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)
    return window if isinstance(window, int) and window > 0 else float("inf")
