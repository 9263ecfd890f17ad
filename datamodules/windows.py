"""A stream of chats as numbered windows, each tokenised and packed on its own and so at any time again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from files.errors import InputError
from files.readers import read_json_lines, require
from lm.chat import Chat, EncodedChat, encode_chats
from lm.packing import PackedBatch, Targets, pack, packed_batch
from organism.corpus import document
from organism.holdout import Split


class ChatSource(Protocol):
    """An endless list of chats, each a function of its number."""

    def __getitem__(self, number: int) -> Chat: ...


@dataclass(frozen=True)
class OrganismChats:
    """The corpus of the built-in model.

    Attributes:
        seed: Seed of the corpus.
        split: Its part that is trained on, or the part kept for measuring.
        first: Number of the corpus's chat that counts as number 0 here.
    """

    seed: int
    split: Split = "train"
    first: int = 0

    def __getitem__(self, number: int) -> Chat:
        """Chat of that number."""
        return document(self.seed, self.first + number, self.split)


class FileChats:
    """The chats of a JSONL file (one object with `messages` per line), over and over, each pass in another order.

    Args:
        file: The file.
        seed: Seed of the orders.

    Raises:
        InputError: The file cannot be read, or a line holds no chat.
    """

    def __init__(self, file: str | Path, seed: int) -> None:
        self.chats = [_chat(record, file, row) for row, record in read_json_lines(file)]
        self.seed = seed
        self._order: tuple[int, list[int]] = (-1, [])
        if not self.chats:
            raise InputError("no chats", file=file, expected="a line with messages", fix="give another file")

    def __len__(self) -> int:
        """Chats of one pass."""
        return len(self.chats)

    def __getitem__(self, number: int) -> Chat:
        """Chat of that number, counted on over the passes."""
        passes, place = divmod(number, len(self.chats))
        if self._order[0] != passes:
            order = list(range(len(self.chats)))
            Random(f"{self.seed}/{passes}").shuffle(order)
            self._order = (passes, order)
        return self.chats[self._order[1][place]]


@dataclass(frozen=True)
class Window:
    """Some hundred batches, as arrays that travel between processes at little cost.

    Attributes:
        ids: Token ids of all chats, one after the other.
        answers: Which of them belong to an answer.
        starts: Where each chat starts, and where the last one ends.
        batches: For each batch its width and the chats in each row.
        pad_id: Token that fills rows up.
    """

    ids: NDArray[np.int32]
    answers: NDArray[np.bool_]
    starts: NDArray[np.int64]
    batches: list[tuple[int, list[list[int]]]]
    pad_id: int

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def batch(self, number: int) -> PackedBatch:
        """One batch of the window, laid out."""
        width, rows = self.batches[number]
        return packed_batch([[self._chat(item) for item in row] for row in rows], width, self.pad_id, self._usual())

    def _chat(self, item: int) -> EncodedChat:
        place = slice(int(self.starts[item]), int(self.starts[item + 1]))
        return EncodedChat(self.ids[place].tolist(), self.answers[place].tolist())

    def _usual(self) -> dict[Targets, float]:
        chats = len(self.starts) - 1
        answers = float(self.answers.sum() - self.answers[self.starts[:-1]].sum())
        # Never below one token, so that a stream without answers gives a loss of 0 and not a division by 0.
        return {
            "all": max(1.0, (len(self.ids) - chats) / len(self.batches)),
            "assistant": max(1.0, answers / len(self.batches)),
        }


class Windows(Dataset[Window]):
    """The windows of a source; number w holds chats w * size to (w + 1) * size - 1.

    Args:
        source: The chats.
        tokenizer: The tokenizer of the model.
        size: Chats per window.
        widths: Widths that a row may have, rising; longer chats are cut to the last.
        tokens_per_batch: Tokens in a batch; its rows are as many as make that up.
        seed: Seed of the order of the batches in a window.
    """

    def __init__(
        self,
        source: ChatSource,
        tokenizer: PreTrainedTokenizerBase,
        *,
        size: int,
        widths: list[int],
        tokens_per_batch: int,
        seed: int,
    ) -> None:
        self.source = source
        self.tokenizer = tokenizer
        self.size = size
        self.widths = widths
        self.tokens_per_batch = tokens_per_batch
        self.seed = seed

    def __getitem__(self, number: int) -> Window:
        """Window of that number."""
        first = number * self.size
        encoded = encode_chats(self.tokenizer, [self.source[item] for item in range(first, first + self.size)])
        longest = self.widths[-1]
        chats = [EncodedChat(chat.ids[:longest], chat.answer_mask[:longest]) for chat in encoded]
        batches = grouped(pack([len(chat) for chat in chats], self.widths), self.tokens_per_batch)
        Random(f"{self.seed}/{number}").shuffle(batches)
        pad_id = self.tokenizer.pad_token_id
        return Window(
            ids=np.concatenate([np.asarray(chat.ids, dtype=np.int32) for chat in chats]),
            answers=np.concatenate([np.asarray(chat.answer_mask, dtype=np.bool_) for chat in chats]),
            starts=np.cumsum([0, *(len(chat) for chat in chats)]),
            batches=batches,
            pad_id=pad_id if isinstance(pad_id, int) else 0,
        )


class Onward(Sampler[int]):
    """Numbers from a start on, without end.

    Args:
        start: The first number.
    """

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        """The numbers."""
        return count(self.start)


def grouped(rows: list[tuple[int, list[int]]], tokens_per_batch: int) -> list[tuple[int, list[list[int]]]]:
    """Rows of one width put together into batches of one shape; the last of a width is filled up with empty rows.

    >>> grouped([(4, [0]), (8, [1]), (4, [2, 3]), (4, [4])], tokens_per_batch=8)
    [(4, [[0], [2, 3]]), (4, [[4], []]), (8, [[1]])]
    """
    batches = []
    for width in sorted({width for width, _ in rows}):
        mine = [row for other, row in rows if other == width]
        height = max(1, tokens_per_batch // width)
        mine += [[]] * (-len(mine) % height)
        batches += [(width, mine[start : start + height]) for start in range(0, len(mine), height)]
    return batches


def as_it_is(item: Any) -> Any:
    """Hand a window or batch over unchanged (the loader would turn its arrays into tensors)."""
    return item


def _chat(record: dict[str, object], file: str | Path, row: int) -> Chat:
    messages = require(record, "messages", list, file=file, row=row)
    for message in messages:
        if not isinstance(message, dict):
            raise InputError("not a message", file=file, row=row, field="messages", expected="an object", got=message)
        require(message, "role", str, file=file, row=row)
        require(message, "content", str, file=file, row=row)
    return messages
