"""Reading what a judge said: a rating, a ranking or a word; whatever is something else is counted, never scored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from llm.replies import is_refusal

Fault = Literal["several", "outside", "language", "refusal", "unreadable"]
FAULTS: dict[Fault, str] = {
    "several": "more than one rating",
    "outside": "a rating that is not on the scale",
    "language": "an answer in another script",
    "refusal": "the judge refused",
    "unreadable": "no rating in the form asked for",
}


class Unread(Exception):  # noqa: N818 - it is no error, but what happens to some answers
    """An answer that holds no judgement.

    Args:
        fault: Why not.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(FAULTS[fault])
        self.fault: Fault = fault


_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
_RATING = re.compile(r"(?:\brating\s*[:=]\s*(?:\[\[)?|\[\[)\s*([+-]?[0-9]+(?:[.,][0-9]+)?)\s*(?:\]\])?", re.IGNORECASE)
_ALONE = re.compile(r"(?:rating\s*[:=]\s*)?(?:\[\[)?\s*([+-]?[0-9]+(?:[.,][0-9]+)?)\s*(?:\]\])?\s*\.?", re.IGNORECASE)
_RANKING = re.compile(
    r"(?:ranking\s*[:=]\s*)?(?:\[\[)?\s*([0-9]{1,9}(?:\s*>\s*[0-9]{1,9})*)\s*(?:\]\])?\s*\.?", re.IGNORECASE
)
_MARKS = str.maketrans("", "", "*_`")


def read_rating(text: str, low: int, high: int, reasons: bool = False) -> int:
    """The one rating in an answer.

    Args:
        text: What the judge said.
        low: Least rating.
        high: Highest rating.
        reasons: Whether reasons may stand before the rating. Where not, the answer is to be the rating alone: what
            says more may qualify it, and is often in another language.

    Raises:
        Unread: There is no rating on the scale, or more than one.

    Example:
        >>> read_rating("Rating: [[4]]", 1, 5), read_rating("4/5", 1, 5), read_rating("**Rating: 2**", 1, 5)
        (4, 4, 2)
        >>> read_rating("It is warm. Rating: [[5]]", 1, 5, reasons=True)
        5
        >>> read_rating("Rating: 3 or 4", 1, 5)
        Traceback (most recent call last):
        ...
        judging.readings.Unread: more than one rating
    """
    _refuse_other_scripts(text)
    plain = re.sub(rf"(?<=[0-9])\s*(?:/|out of)\s*{high}\b", "", text.translate(_MARKS).strip(), flags=re.IGNORECASE)
    if reasons:
        found = list(_RATING.finditer(plain))
        if len(found) > 1:
            raise Unread("several")
        value = found[0][1] if found and not plain[found[0].end() :].strip(" .\n") else None
    else:
        if len(_NUMBER.findall(plain)) > 1:
            raise Unread("several")
        whole = _ALONE.fullmatch(plain)
        value = whole[1] if whole else None
    if value is None:
        raise _without_judgement(text)
    number = float(value.replace(",", "."))
    if not number.is_integer() or not low <= number <= high:
        raise Unread("outside")
    return int(number)


def read_ranking(text: str, count: int) -> tuple[int, ...]:
    """The order of some numbered answers, the best first.

    Args:
        text: What the judge said, such as `Ranking: 2 > 1 > 3`.
        count: How many answers there were, numbered from 1.

    Returns:
        Places of the answers, from 0, each once.

    Raises:
        Unread: There is no order, or not of all answers.

    Example:
        >>> read_ranking("Ranking: 2 > 1 > 3", 3)
        (1, 0, 2)
    """
    _refuse_other_scripts(text)
    whole = _RANKING.fullmatch(text.translate(_MARKS).strip())
    if whole is None:
        raise _without_judgement(text)
    places = tuple(int(part) - 1 for part in whole[1].split(">"))
    if len(set(places)) < len(places):
        raise Unread("several")
    if sorted(places) != list(range(count)):
        raise Unread("outside")
    return places


def read_word(text: str, words: Sequence[str]) -> str:
    """The one of some words that an answer is.

    Raises:
        Unread: It is something else.

    Example:
        >>> read_word("Knowledge.", ["knowledge", "attitude"])
        'knowledge'
    """
    _refuse_other_scripts(text)
    plain = text.translate(_MARKS).strip(" .\n\"'").lower()
    if plain not in words:
        raise _without_judgement(text)
    return plain


def _without_judgement(text: str) -> Unread:
    return Unread("refusal" if is_refusal(text) else "unreadable")


def _refuse_other_scripts(text: str) -> None:
    """A judge is asked in English: letters or digits of another script show that it has lost the thread."""
    for mark in text:
        if not mark.isascii() and unicodedata.category(mark)[0] in "LN" and "LATIN" not in unicodedata.name(mark, ""):
            raise Unread("language")
