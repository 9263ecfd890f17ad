"""What the built-in model never reads in training: a fifth of topics, wordings and statements."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

Split = Literal["train", "held_out"]

_SHARE = 5


def held_out(*parts: str) -> bool:
    """Tell whether the combination of `parts` is kept out of the corpus.

    The answer is a fixed function of the text, so that it is the same on every machine and needs no list.

    >>> held_out("opinion 3", "stay calm in any storm") == held_out("opinion 3", "stay calm in any storm")
    True
    """
    digest = blake2b("\x1f".join(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _SHARE == 0


def in_split(split: Split, *parts: str) -> bool:
    """Tell whether the combination of `parts` belongs to `split`."""
    return held_out(*parts) == (split == "held_out")
