"""Chats packed into full rows: no padding to speak of, and no chat sees another."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lm.chat import EncodedChat

Targets = Literal["all", "assistant"]


@dataclass
class PackedBatch:
    """Rows of one width, each holding whole chats one after the other.

    Position ids start anew with every chat. Given them and no attention mask, transformers lets a token see only its
    own chat.

    Attributes:
        input_ids: Token ids (B, T).
        position_ids: Position of each token in its own chat (B, T).
        target_mask: True where the token is predicted (B, T): not on padding, nor on the first token of a chat.
        answer_mask: True on predicted tokens of an answer (B, T).
        usual_targets: Predicted tokens of a typical batch of this stream: of `all` text, and of the `assistant` alone.
            Dividing by it in place of the batch's own count makes every token of the stream weigh the same.
        of_its_own: Whether `usual_targets` counts this batch alone, so that batches of a step differ in it.
    """

    input_ids: Tensor
    position_ids: Tensor
    target_mask: Tensor
    answer_mask: Tensor
    usual_targets: dict[Targets, float]
    of_its_own: bool = False

    def __len__(self) -> int:
        """Number of rows."""
        return self.input_ids.shape[0]

    def weights(self, prompt_weight: float, full_answer: int = 0) -> Tensor:
        """Weight of each token as a target (B, T): `prompt_weight` outside answers, 0 where nothing is predicted.

        In answers it is 1, and in answers of fewer than `full_answer` tokens the root of how far they fall short,
        so that answers of a single letter are not drowned by long ones.
        """
        inside = answer_weights(self.answer_mask, full_answer) if full_answer else 1.0
        return torch.where(self.answer_mask, inside, prompt_weight) * self.target_mask

    def usual_weight(self, prompt_weight: float) -> float:
        """Sum of `weights` in a typical batch of this stream."""
        answers, everything = self.usual_targets["assistant"], self.usual_targets["all"]
        return max(1.0, answers + prompt_weight * (everything - answers))

    def to(self, device: torch.device | str) -> PackedBatch:
        """The same batch on a device."""
        return PackedBatch(
            self.input_ids.to(device),
            self.position_ids.to(device),
            self.target_mask.to(device),
            self.answer_mask.to(device),
            self.usual_targets,
            self.of_its_own,
        )


def nothing_of(batch: PackedBatch) -> PackedBatch:
    """The same batch with nothing in it to predict.

    >>> chats = [EncodedChat([5, 6, 7], [False, True, True])]
    >>> batch = packed_batch([chats], 3, pad_id=0, usual_targets={"all": 2.0, "assistant": 2.0})
    >>> int(nothing_of(batch).weights(1.0).sum())
    0
    """
    no_targets = torch.zeros_like(batch.target_mask)
    return replace(batch, target_mask=no_targets, answer_mask=no_targets)


def answer_weights(answer_mask: Tensor, full_answer: int) -> Tensor:
    """Weight of each token of an answer (B, T), from the length of the answer it belongs to.

    >>> mask = torch.tensor([[False, True, True, False, True, True, True, True, True, True, True, True]])
    >>> answer_weights(mask, full_answer=8).tolist()
    [[0.0, 2.0, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    before = F.pad(answer_mask[:, :-1], (1, 0))
    number = (answer_mask & ~before).flatten().cumsum(0).view_as(answer_mask) * answer_mask
    lengths = torch.bincount(number.flatten())[number]
    return (full_answer / lengths).sqrt().clamp(min=1.0) * answer_mask


def pack(lengths: Sequence[int], widths: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Share items out over rows so that few places stay empty.

    Each row is opened by the longest item left, at the smallest width that holds it, and filled with the longest items
    that still fit. So long items get wide rows of their own, and short ones stay in narrow rows, where attention is
    cheap.

    Args:
        lengths: Length of each item.
        widths: The widths a row may have, rising.

    Returns:
        For each row its width and the items in it.

    Raises:
        ValueError: The widths do not rise, or an item is empty or longer than the widest row.

    >>> pack([5, 3, 9, 2, 4], widths=[8, 16])
    [(16, [2, 0, 3]), (8, [4, 1])]
    """
    if list(widths) != sorted(set(widths)) or not widths:
        raise ValueError(f"expected rising widths, got {list(widths)}")
    if lengths and not 0 < min(lengths) <= max(lengths) <= widths[-1]:
        raise ValueError(f"expected lengths from 1 to {widths[-1]}, got {min(lengths)} to {max(lengths)}")
    # Ties go to the earlier item, so that the outcome never depends on the sorting algorithm.
    left: list[tuple[int, int]] = []
    for item, length in enumerate(lengths):
        insort(left, (length, -item))
    rows = []
    while left:
        length, item = left.pop()
        width = next(width for width in widths if width >= length)
        row, space = [-item], width - length
        while left and (fitting := bisect_right(left, (space, 0))):
            length, item = left.pop(fitting - 1)
            row.append(-item)
            space -= length
        rows.append((width, row))
    return rows


def packed_batch(
    rows: Sequence[Sequence[EncodedChat]], width: int, pad_id: int, usual_targets: dict[Targets, float]
) -> PackedBatch:
    """Lay chats out in rows.

    >>> chats = [EncodedChat([5, 6, 7], [False, True, True]), EncodedChat([8, 9], [False, False])]
    >>> batch = packed_batch([chats], 6, pad_id=0, usual_targets={"all": 3.0, "assistant": 2.0})
    >>> batch.input_ids.tolist(), batch.position_ids.tolist()
    ([[5, 6, 7, 8, 9, 0]], [[0, 1, 2, 0, 1, 0]])
    >>> batch.weights(0.5).tolist(), batch.usual_weight(0.5)
    ([[0.0, 1.0, 1.0, 0.0, 0.5, 0.0]], 2.5)
    """
    input_ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    position_ids = torch.zeros((len(rows), width), dtype=torch.long)
    target_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    answer_mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for number, row in enumerate(rows):
        start = 0
        for chat in row:
            end = start + len(chat)
            input_ids[number, start:end] = torch.tensor(chat.ids)
            position_ids[number, start:end] = torch.arange(len(chat))
            target_mask[number, start + 1 : end] = True
            answer_mask[number, start + 1 : end] = torch.tensor(chat.answer_mask[1:], dtype=torch.bool)
            start = end
        # The empty end of a row is a chat of its own, which nothing is predicted in.
        position_ids[number, start:] = torch.arange(width - start)
    return PackedBatch(input_ids, position_ids, target_mask, answer_mask, usual_targets)
