"""Log-probabilities of token sequences after prompts, each prompt with its continuation read as one whole row.

The same figures as `lm.token_scores` without cached states: for models whose states cannot be kept or cut, and to check
the other way by.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel

from files.errors import InputError
from lm.limits import check_length
from lm.passes import ForwardRows, Side, Steering, evaluating, padded
from lm.token_scores import Item, selected_log_probs


def score_whole_rows(
    model: PreTrainedModel, items: Sequence[Item], batch_size: int, steering: Steering | None, side: Side
) -> list[list[Tensor]]:
    """For each item and each of its continuations the log-probability of each token, float32 on the CPU.

    Args:
        model: The model.
        items: Prompts with their continuations.
        batch_size: Most rows computed at once.
        steering: What to apply, if anything.
        side: Where shorter rows are filled up.

    Raises:
        InputError: A prompt with its continuation is longer than the model can read, or the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError("no rows to compute at once", field="batch_size", expected="1 or more", got=batch_size)
    places = [(number, option) for number, item in enumerate(items) for option in range(len(item.continuations))]
    texts = {place: items[place[0]].prompt + items[place[0]].continuations[place[1]] for place in places}
    check_length(model, max(map(len, texts.values()), default=0), "a prompt with its continuation")
    order = sorted(places, key=lambda place: (len(texts[place]), place))
    scores: dict[tuple[int, int], Tensor] = {}
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            prompts = [len(items[number].prompt) for number, _ in some]
            keys = [items[number].key for number, _ in some]
            rows = _scored(model, [texts[place] for place in some], prompts, keys, steering, side)
            scores.update(zip(some, rows, strict=True))
    return [[scores[number, option] for option in range(len(item.continuations))] for number, item in enumerate(items)]


def _scored(
    model: PreTrainedModel,
    texts: Sequence[list[int]],
    prompts: Sequence[int],
    keys: Sequence[int],
    steering: Steering | None,
    side: Side,
) -> list[Tensor]:
    """The log-probability of each token of each text after its prompt, from one pass."""
    ids, mask = padded(texts, side, model.device)
    number = mask.cumsum(-1) - 1
    lengths = torch.tensor(prompts, device=ids.device).unsqueeze(1)
    answer_mask = mask.bool() & (number >= lengths)
    described = ForwardRows(torch.tensor(keys, device=ids.device), mask, answer_mask)
    with steering.enter(described) if steering else nullcontext():
        logits = model(input_ids=ids, attention_mask=mask, position_ids=number.clamp(min=0), use_cache=False).logits
    before = answer_mask[:, 1:]
    values = selected_log_probs(logits[:, :-1][before], ids[:, 1:][before].to(logits.device)).cpu()
    return list(values.split(before.sum(-1).tolist()))
