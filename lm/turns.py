"""Conversations that are longer than a row, cut between turns."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from lm.chat import Chat, EncodedChat, encode_chats


class TurnTooLongError(Exception):
    """One question with its answer is longer than the limit.

    Args:
        message: Number of the question among the messages.
        tokens: Its length with the answer, in tokens.
    """

    def __init__(self, message: int, tokens: int) -> None:
        super().__init__(f"message {message} with its answer has {tokens} tokens")
        self.message = message
        self.tokens = tokens


def split_at_turns(tokenizer: PreTrainedTokenizerBase, chat: Chat, limit: int) -> list[EncodedChat]:
    """A conversation as token ids, in as few parts as the limit allows, each with the system turn and whole exchanges.

    Args:
        tokenizer: The model's tokenizer.
        chat: Perhaps a system turn, then questions and answers in turn.
        limit: Most tokens of a part.

    Returns:
        The parts in order; one where the conversation fits.

    Raises:
        TurnTooLongError: A question with its answer is too long for a part of its own.
        InputError: The template refuses the chat.
    """
    [whole] = encode_chats(tokenizer, [chat])
    if len(whole) <= limit:
        return [whole]
    system = chat[:1] if chat[0]["role"] == "system" else []
    exchanges = [chat[start : start + 2] for start in range(len(system), len(chat), 2)]
    alone = encode_chats(tokenizer, [[*system, *exchange] for exchange in exchanges])
    for number, encoded in enumerate(alone):
        if len(encoded) > limit:
            raise TurnTooLongError(len(system) + 2 * number, len(encoded))
    return list(_filled(tokenizer, system, exchanges, limit))


def _filled(
    tokenizer: PreTrainedTokenizerBase, system: Chat, exchanges: list[Chat], limit: int
) -> Iterator[EncodedChat]:
    """Parts that take one exchange after the other for as long as they fit."""
    part: Chat = []
    encoded: EncodedChat | None = None
    for exchange in exchanges:
        [longer] = encode_chats(tokenizer, [[*system, *part, *exchange]])
        if len(longer) <= limit:
            part, encoded = [*part, *exchange], longer
            continue
        if encoded is not None:
            yield encoded
        part = exchange
        [encoded] = encode_chats(tokenizer, [[*system, *part]])
    if encoded is not None:
        yield encoded
