"""Whole numbers out of text that anybody may have written."""

from __future__ import annotations

_LONGEST = 18


def whole_number(text: str) -> int | None:
    """The number from 0 on that a text of plain digits states, or None for any other text.

    More than 18 digits count nothing that there is: `int` itself raises at thousands of them, and `str.isdigit` is true
    of signs that it cannot read.

    Example:
        >>> [whole_number(text) for text in ("007", "-1", "²", "9" * 5000)]
        [7, None, None, None]
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST else None
