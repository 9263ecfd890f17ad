"""Prompts to be answered, with whatever is known of each, and the answers written to them as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm.chat import Chat, encode_prompts
from lm.generation import generate_ids, stop_tokens, texts_of


@dataclass(frozen=True)
class PromptBatch:
    """Prompts and the records they come from.

    Attributes:
        prompts: Chats that ask for an answer.
        records: For each what else is known, such as a person's own answer; rewards read it.
    """

    prompts: tuple[Chat, ...]
    records: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self.prompts)

    def to(self, device: object) -> PromptBatch:  # noqa: ARG002
        """Itself: words lie on no device, but Lightning moves every batch."""
        return self

    def repeated(self, times: int) -> PromptBatch:
        """Every prompt several times, side by side."""
        return PromptBatch(
            tuple(prompt for prompt in self.prompts for _ in range(times)),
            tuple(record for record in self.records for _ in range(times)),
        )


@dataclass
class Rollout:
    """Prompts with answers that a model wrote, one row each, padded on the right.

    Attributes:
        input_ids: Token ids (B, T).
        target_mask: True on tokens of the answers (B, T).
        answer_mask: The same counted from the beginning of each answer (B, A); A is the longest answer.
        texts: The answers as text.
        ended: Whether the answer came to an end before it was cut off (B,).
    """

    input_ids: Tensor
    target_mask: Tensor
    answer_mask: Tensor
    texts: list[str]
    ended: Tensor

    def rows(self, index: Tensor) -> Rollout:
        """Some rows, as wide as they were."""
        return Rollout(
            self.input_ids[index],
            self.target_mask[index],
            self.answer_mask[index],
            [self.texts[row] for row in index.tolist()],
            self.ended[index],
        )

    def by_answer(self, values: Tensor) -> Tensor:
        """One number per answer token (N,), in the order of the rows, as a row per answer (B, A); 0 elsewhere."""
        laid_out = torch.zeros(self.answer_mask.shape, dtype=values.dtype, device=values.device)
        return laid_out.masked_scatter(self.answer_mask, values)


def roll_out(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    batch_size: int,
) -> Rollout:
    """Let a model answer prompts, and lay prompts and answers out for training.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompts: Chats.
        max_new_tokens: Most tokens of an answer.
        temperature: Of the sampling.
        top_p: Of the sampling.
        seed: Of the sampling; equal prompts draw different numbers.
        batch_size: Most rows computed at once.

    Raises:
        InputError: As in `generate`.
    """
    encoded = encode_prompts(tokenizer, prompts)
    written = generate_ids(
        model,
        tokenizer,
        encoded,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        batch_size=batch_size,
    )
    stops = set(stop_tokens(model, tokenizer))
    ended = torch.tensor([bool(new) and new[-1] in stops for new in written], device=model.device)
    pad_id = tokenizer.pad_token_id
    texts = texts_of(model, tokenizer, encoded, written, prompts)
    return laid_out(encoded, written, texts, ended, pad_id if isinstance(pad_id, int) else 0)


def laid_out(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], texts: list[str], ended: Tensor, pad_id: int
) -> Rollout:
    """Prompts and answers as padded rows.

    >>> rollout = laid_out([[5, 6], [7]], [[8], [9, 4]], ["a", "b"], torch.tensor([False, True]), pad_id=0)
    >>> rollout.input_ids.tolist(), rollout.target_mask.int().tolist()
    ([[5, 6, 8], [7, 9, 4]], [[0, 0, 1], [0, 1, 1]])
    >>> rollout.answer_mask.int().tolist(), rollout.by_answer(torch.tensor([1.0, 2.0, 3.0])).tolist()
    ([[1, 0], [1, 1]], [[1.0, 0.0], [2.0, 3.0]])
    """
    width = max(len(before) + len(new) for before, new in zip(prompts, answers, strict=True))
    longest = max(map(len, answers))
    ids, targets, masks = [], [], []
    for before, new in zip(prompts, answers, strict=True):
        rest = width - len(before) - len(new)
        ids.append([*before, *new, *[pad_id] * rest])
        targets.append([*[False] * len(before), *[True] * len(new), *[False] * rest])
        masks.append([place < len(new) for place in range(longest)])
    device = ended.device
    return Rollout(
        torch.tensor(ids, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(masks, device=device),
        texts,
        ended,
    )
