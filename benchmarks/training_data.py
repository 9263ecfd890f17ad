"""Conversations and pairs of the built-in world for the benchmark of training: of the lengths that they have there."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from lm.chat import Chat, encode_chats
from organism.corpus import document

LONGEST, SHORTEST = 260, 12
SEED = 5


def conversations(tokenizer: PreTrainedTokenizerBase, count: int) -> list[Chat]:
    """Conversations with a question and an answer, the first of the corpus that are neither tiny nor too long."""
    found: list[Chat] = []
    number = 0
    while len(found) < count:
        chat = document(SEED, number, "train")
        number += 1
        asked = len(chat) > 1 and chat[-1]["role"] == "assistant" and chat[-2]["role"] == "user"
        if asked and SHORTEST <= len(encode_chats(tokenizer, [chat])[0]) <= LONGEST:
            found.append(chat)
    return found


def preference_records(tokenizer: PreTrainedTokenizerBase, count: int) -> list[dict[str, Any]]:
    """Pairs: a conversation's own answer, and that of another one whose words differ."""
    chats = conversations(tokenizer, 2 * count)
    records = []
    for one, other in zip(chats[:count], chats[count:], strict=True):
        rejected = {"role": "assistant", "content": f"{other[-1]['content']} Or not."}
        records.append({"prompt": one[:-1], "chosen": one[-1:], "rejected": [rejected]})
    return records
