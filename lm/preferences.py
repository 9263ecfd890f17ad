"""Pairs of answers as token ids, and padded batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lm.chat import EncodedChat


@dataclass(frozen=True)
class EncodedPair:
    """One prompt with two answers.

    Attributes:
        number: Its place in the data, by which what is known of it is found again.
        chosen: The prompt with the preferred answer, masked.
        rejected: The prompt with the other one, masked.
    """

    number: int
    chosen: EncodedChat
    rejected: EncodedChat


@dataclass
class PreferenceBatch:
    """Pairs, padded on the right: the preferred answers in the first half of the rows, the others in the second.

    Attributes:
        input_ids: Token ids (2 B, T).
        target_mask: True on the tokens of the answers (2 B, T).
        numbers: Place of each pair in the data (B,).
    """

    input_ids: Tensor
    target_mask: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.numbers)

    def to(self, device: torch.device | str) -> PreferenceBatch:
        """The same batch on a device."""
        return PreferenceBatch(self.input_ids.to(device), self.target_mask.to(device), self.numbers.to(device))


def preference_batch(pairs: Sequence[EncodedPair], pad_id: int) -> PreferenceBatch:
    """Put pairs into one batch.

    >>> pair = EncodedPair(7, EncodedChat([5, 6, 8], [False, True, True]), EncodedChat([5, 9], [False, True]))
    >>> batch = preference_batch([pair], pad_id=0)
    >>> batch.input_ids.tolist(), batch.target_mask.tolist()
    ([[5, 6, 8], [5, 9, 0]], [[False, True, True], [False, True, False]])
    >>> batch.numbers.tolist(), len(batch)
    ([7], 1)
    """
    chats = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    width = max(map(len, chats), default=0)
    ids = [[*chat.ids, *[pad_id] * (width - len(chat))] for chat in chats]
    masks = [[*chat.answer_mask, *[False] * (width - len(chat))] for chat in chats]
    return PreferenceBatch(
        torch.tensor(ids, dtype=torch.long),
        torch.tensor(masks, dtype=torch.bool),
        torch.tensor([pair.number for pair in pairs]),
    )
