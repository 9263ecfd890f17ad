"""Text as token ids, such that what follows a text never changes the ids of that text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from transformers import PreTrainedTokenizerBase

# How a word is cut depends on its neighbours only: a long prompt need not be read again for each of its continuations.
_CONTEXT_CHARACTERS = 64
# From this many characters on it is worth looking for parts that texts share.
_LONG = 1000


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, with nothing added in front or behind; special tokens written out in it count as such.

    Long texts that share much, such as questions after one description, are cut at special tokens, and each part is
    read once.
    """
    longest = max(texts, key=len, default="")
    border = _special_tokens(tokenizer) if len(texts) > 1 and len(longest) >= _LONG else None
    if border is None:
        return _encode(tokenizer, texts)
    parts_of = [[part for part in border.split(text) if part] for text in texts]
    wanted = list(dict.fromkeys(chain.from_iterable(parts_of)))
    if 2 * sum(map(len, wanted)) > sum(map(len, texts)):
        return _encode(tokenizer, texts)
    ids = dict(zip(wanted, _encode(tokenizer, wanted), strict=True))
    found = [list(chain.from_iterable(ids[part] for part in parts)) for parts in parts_of]
    # A tokenizer that treats the beginning of a text apart, say by a space in front, does so for every part.
    fits = found[texts.index(longest)] == _encode(tokenizer, [longest])[0]
    return found if fits else _encode(tokenizer, texts)


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """What no token reaches across: special tokens that leave the text around them as it is."""
    tokens = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special and not (token.lstrip or token.rstrip or token.single_word or token.normalized)
    ]
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})") if tokens else None


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )
    return list(encoded["input_ids"])


def encode_pieces(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """Token ids of texts that are given in pieces, cut at every border between pieces.

    A later piece never merges into an earlier one, so the ids of the first pieces are those of the text up to there.
    Where the tokenizer would not have merged across a border anyway, nothing differs from the ids of the whole text.

    Args:
        tokenizer: Cuts the text.
        texts: For each text its pieces in order.

    Returns:
        For each text the ids of each piece.
    """
    firsts = encode_texts(tokenizer, [pieces[0] for pieces in texts])
    borders = [("".join(pieces[:number]), pieces[number]) for pieces in texts for number in range(1, len(pieces))]
    followers = iter(encode_followers(tokenizer, borders))
    return [[first, *(next(followers) for _ in pieces[1:])] for first, pieces in zip(firsts, texts, strict=True)]


def encode_followers(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Token ids of the second text of each pair where it follows the first.

    Appended to the ids of the first text they read as both texts together.
    """
    contexts = [(before[-_CONTEXT_CHARACTERS:], text) for before, text in pairs]
    wanted = list(dict.fromkeys(part for before, text in contexts for part in (before, before + text)))
    ids = dict(zip(wanted, encode_texts(tokenizer, wanted), strict=True))
    return [_tail(tokenizer, ids[before], ids[before + text], text) for before, text in contexts]


def _tail(tokenizer: PreTrainedTokenizerBase, before: list[int], joint: list[int], piece: str) -> list[int]:
    """Ids of a piece given the ids of its context alone and of both together."""
    if joint[: len(before)] == before:
        return joint[len(before) :]
    # The two merge at the border. A line break keeps apart what follows it, and keeps tokenizers that open every text
    # with a space from putting one here.
    line_break, after_break = encode_texts(tokenizer, ["\n", "\n" + piece])
    if after_break[: len(line_break)] == line_break:
        return after_break[len(line_break) :]
    return encode_texts(tokenizer, [piece])[0]
