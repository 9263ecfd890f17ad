"""Chats as token ids: prompts, full chats with a mask of their answers, and padded batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from files.errors import InputError
from lm.template import Chat, Message, answer_separator, render_chat, render_prompt
from lm.tokens import encode_followers, encode_pieces, encode_texts

__all__ = [
    "Chat",
    "EncodedChat",
    "Message",
    "TokenBatch",
    "encode_chats",
    "encode_continuations",
    "encode_prompts",
    "pad_encoded",
]

IGNORED_LABEL = -100
_CHATS_AT_ONCE = 512


@dataclass
class EncodedChat:
    """One chat as tokens.

    Attributes:
        ids: Its token ids.
        answer_mask: For each token whether it belongs to an assistant's answer.
    """

    ids: list[int]
    answer_mask: list[bool]

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)


@dataclass
class TokenBatch:
    """Padded chats, one per row.

    Attributes:
        input_ids: Token ids (B, T).
        attention_mask: 1 on tokens, 0 on padding (B, T).
        answer_mask: True on tokens of an answer (B, T).
    """

    input_ids: Tensor
    attention_mask: Tensor
    answer_mask: Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return self.input_ids.shape[0]

    def labels(self) -> Tensor:
        """The ids to predict (B, T): -100 on padding and on each row's first token, which nothing predicts."""
        predicted = self.attention_mask.bool() & (self.attention_mask.cumsum(-1) > 1)
        return torch.where(predicted, self.input_ids, IGNORED_LABEL)

    def position_ids(self) -> Tensor:
        """Position of each token in its own row (B, T), 0 on padding before it."""
        return (self.attention_mask.cumsum(-1) - 1).clamp(min=0)

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on a device."""
        return TokenBatch(self.input_ids.to(device), self.attention_mask.to(device), self.answer_mask.to(device))

    def rows(self, index: Tensor | slice) -> TokenBatch:
        """The chosen rows, in the order asked for; the padding stays as wide as it is."""
        return TokenBatch(self.input_ids[index], self.attention_mask[index], self.answer_mask[index])


def encode_chats(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[EncodedChat]:
    """Whole chats as tokens, every assistant turn masked as an answer, its end-of-turn token included.

    The ids up to an answer are exactly those of the prompt that asks for it, so what is trained is what is later asked.
    Templates without generation markers, tokenizers without a template (`role: text` lines) and templates without a
    place for system messages (joined to the user message after them) are all handled; see `lm.template`.

    Raises:
        InputError: A chat is malformed or the template refuses it.
    """
    return [encoded for chunk in _chunks(chats) for encoded in _encode_chunk(tokenizer, chunk)]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[list[int]]:
    """Chats as token ids, open for the assistant's answer.

    A chat that ends with an assistant message is left open inside it, for the model to go on from there.

    Raises:
        InputError: A chat is malformed or the template refuses it.
    """
    return encode_texts(tokenizer, [render_prompt(tokenizer, chat) for chat in chats])


def encode_continuations(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat], continuations: Sequence[Sequence[str]]
) -> list[tuple[list[int], list[list[int]]]]:
    """Prompts as token ids, each with the ids of texts that may follow it.

    Args:
        tokenizer: The model's tokenizer.
        chats: One prompt per item.
        continuations: For each prompt the texts that could come next, as the assistant would write them: no space in
            front, unless the prompt ends inside an answer.

    Returns:
        For each item the prompt's ids (those of `encode_prompts`) and the ids of each continuation after it.

    Raises:
        InputError: A chat is malformed or the template refuses it, a continuation is empty, or the lists differ in
            length.
    """
    if len(chats) != len(continuations):
        raise InputError(
            "prompts and continuations differ in number", expected=f"{len(chats)} lists", got=len(continuations)
        )
    texts = [render_prompt(tokenizer, chat) for chat in chats]
    prompts = encode_texts(tokenizer, texts)
    pairs: list[tuple[str, str]] = []
    for number, (chat, text, items) in enumerate(zip(chats, texts, continuations, strict=True)):
        opens = "" if chat[-1]["role"] == "assistant" else answer_separator(tokenizer)
        for item in items:
            if not item:
                raise InputError("an empty continuation", row=f"prompt {number}", expected="text", got=item)
            pairs.append((text, item if item.startswith(opens) else opens + item))
    encoded = iter(encode_followers(tokenizer, pairs))
    return [(prompt, [next(encoded) for _ in items]) for prompt, items in zip(prompts, continuations, strict=True)]


def pad_encoded(encoded: Sequence[EncodedChat], pad_id: int, side: Literal["left", "right"] = "right") -> TokenBatch:
    """Put chats of different length into one batch.

    >>> chats = [EncodedChat([5, 6, 7], [False, True, True]), EncodedChat([8], [False])]
    >>> batch = pad_encoded(chats, pad_id=0, side="left")
    >>> batch.input_ids.tolist(), batch.attention_mask.tolist()
    ([[5, 6, 7], [0, 0, 8]], [[1, 1, 1], [0, 0, 1]])
    >>> batch.answer_mask.tolist(), batch.labels().tolist()
    ([[False, True, True], [False, False, False]], [[-100, 6, 7], [-100, -100, -100]])

    Raises:
        ValueError: There is no chat, or the side is neither left nor right.
    """
    if not encoded:
        raise ValueError("no chats to pad")
    if side not in ("left", "right"):
        raise ValueError(f"expected side 'left' or 'right', got {side!r}")
    width = max(len(chat) for chat in encoded)
    input_ids = torch.full((len(encoded), width), pad_id, dtype=torch.long)
    attention_mask = torch.zeros((len(encoded), width), dtype=torch.long)
    answer_mask = torch.zeros((len(encoded), width), dtype=torch.bool)
    for row, chat in enumerate(encoded):
        place = slice(width - len(chat), width) if side == "left" else slice(0, len(chat))
        input_ids[row, place] = torch.tensor(chat.ids, dtype=torch.long)
        attention_mask[row, place] = 1
        answer_mask[row, place] = torch.tensor(chat.answer_mask, dtype=torch.bool)
    return TokenBatch(input_ids, attention_mask, answer_mask)


def _chunks(chats: Sequence[Chat]) -> Iterator[Sequence[Chat]]:
    for start in range(0, len(chats), _CHATS_AT_ONCE):
        yield chats[start : start + _CHATS_AT_ONCE]


def _encode_chunk(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[EncodedChat]:
    texts, flags = [], []
    for chat in chats:
        rendered = render_chat(tokenizer, chat)
        pieces, is_answer, position = [], [], 0
        for start, end in rendered.answers:
            pieces += [rendered.text[position:start], rendered.text[start:end]]
            is_answer += [False, True]
            position = end
        texts.append([*pieces, rendered.text[position:]])
        flags.append([*is_answer, False])
    result = []
    for ids_of_pieces, is_answer in zip(encode_pieces(tokenizer, texts), flags, strict=True):
        ids = [token for piece in ids_of_pieces for token in piece]
        mask = [flag for piece, flag in zip(ids_of_pieces, is_answer, strict=True) for _ in piece]
        result.append(EncodedChat(ids, mask))
    return result
