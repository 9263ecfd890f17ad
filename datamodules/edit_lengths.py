"""Finds opinions that are longer than the model can read, before anything runs."""

from __future__ import annotations

from pathlib import Path

from datamodules.edit_batches import EditBatcher
from files.errors import InputError
from lm.chat import encode_chats
from personas.layouts import edit_instruction

# More than any chat template and any instruction put round a question, a topic and an opinion.
_ROUND_ABOUT = 256


def check_readable(batcher: EditBatcher, limit: int, path: Path) -> None:
    """Refuse opinions whose edit is longer than a model can read.

    A token is at least one byte, so short opinions need not be cut into tokens to be known as short.

    Args:
        batcher: The records of one split.
        limit: The longest text that the model can read, in tokens.
        path: The file they come from, for the message.

    Raises:
        InputError: Naming the record, counted from 0, and the opinion.
    """
    wording = batcher.wording
    evaluated = batcher.split == "test"  # there the opinions are scored whole, whatever an edit is cut to
    if wording.max_tokens is not None and wording.max_tokens <= limit and not evaluated:
        return
    question = max(_bytes(question) for question in wording.questions)
    for row, record in enumerate(batcher.records):
        spare = limit - _ROUND_ABOUT - question - 2 * _bytes(record.topic)
        if max(_bytes(text) for texts in record.opinions.values() for text in texts) <= spare:
            continue
        for trait, place, tokens in _lengths(batcher, row):
            if tokens > limit:
                raise InputError(
                    "is longer than the model can read, with its question",
                    file=path,
                    row=row,
                    field=f"{trait}[{place}]",
                    expected=f"at most {limit} tokens",
                    got=f"{tokens} tokens",
                    fix="shorten or remove this opinion"
                    + ("" if evaluated else ", or set --data.init_args.max_tokens to cut it off"),
                )


def _lengths(batcher: EditBatcher, row: int) -> list[tuple[str, int, int]]:
    """Trait, place in its list and tokens of every opinion of a record, with all that is read before it."""
    record, cut = batcher.records[row], batcher.wording.max_tokens is not None
    places = [(trait, place) for trait, texts in record.opinions.items() for place in range(len(texts))]
    chats = [
        [*([] if cut else [{"role": "system", "content": edit_instruction(trait, record.topic)}]), *opinion.chat]
        for (trait, _), opinion in zip(places, batcher.rows(row), strict=True)
    ]
    encoded = encode_chats(batcher.tokenizer, chats)
    return [(*place, len(chat.ids)) for place, chat in zip(places, encoded, strict=True)]


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
