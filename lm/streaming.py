"""Answers to prompts while they are written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm.chat import Chat, encode_prompts
from lm.generation import generate_ids, stop_tokens, texts_of, up_to_stop
from lm.passes import Steering


class _StoppedError(Exception):
    """Nobody listens any more."""


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int,
    steering: Steering | None = None,
) -> Iterator[list[str]]:
    """Let a model answer prompts in one batch, and see the answers grow.

    The last answers are those that `lm.generation.generate` gives. The model writes in a thread of its own, as far as
    it gets while the caller does something else; closing the iterator ends it.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompts: As in `generate`.
        max_new_tokens: As in `generate`.
        temperature: As in `generate`.
        top_p: As in `generate`.
        seed: As in `generate`.
        steering: As in `generate`.

    Yields:
        The text of each prompt's answer so far, whenever there is something new.

    Raises:
        InputError: As in `generate`.
    """
    encoded = encode_prompts(tokenizer, prompts)
    stops = stop_tokens(model, tokenizer)
    news: SimpleQueue[list[list[int]] | BaseException | None] = SimpleQueue()
    left = threading.Event()

    def watch(rows: Sequence[int], new: Tensor) -> None:
        if left.is_set():
            raise _StoppedError
        written: list[list[int]] = [[] for _ in encoded]
        for row, tokens in zip(rows, new.tolist(), strict=True):
            written[row] = up_to_stop(tokens, stops)
        news.put(written)

    def write() -> None:
        try:
            news.put(
                generate_ids(
                    model,
                    tokenizer,
                    encoded,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    top_p=top_p,
                    seed=seed,
                    batch_size=max(1, len(encoded)),
                    steering=steering,
                    watch=watch,
                )
            )
            news.put(None)
        except BaseException as error:  # whatever it is, it belongs to the caller
            news.put(error)

    writer = threading.Thread(target=write, name="writer", daemon=True)
    writer.start()
    try:
        while (item := _latest(news)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield texts_of(model, tokenizer, encoded, item, prompts)
    finally:
        left.set()
        writer.join()


def _latest(news: SimpleQueue[list[list[int]] | BaseException | None]) -> list[list[int]] | BaseException | None:
    """The next item, or a later one where several wait; an error and the end are never passed over."""
    item = news.get()
    while isinstance(item, list) and not news.empty():
        following = news.get()
        if following is None:
            news.put(None)  # what was written last is still to be shown
            return item
        item = following
    return item
