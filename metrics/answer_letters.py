"""Which of the options A to E a free-text answer chooses."""

import re
from collections.abc import Iterator

# Markers of chat templates are no part of what the model says.
_SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]")
_IN_WORD = "A-Za-z0-9\u00c0-\u024f"  # with accented letters, but not with scripts that put no space between words
_LETTER = re.compile(rf"(?<![{_IN_WORD}])(?<![F-Zf-z]/)[A-Ea-e](?![{_IN_WORD}])")
_WORDING = re.compile(
    r"(?<!not )\b(?:(?:very|moderately) (?:in)?accurate|neither accurate nor inaccurate)\b", re.IGNORECASE
)
_LETTER_OF_WORDING = {
    "very accurate": "A",
    "moderately accurate": "B",
    "neither accurate nor inaccurate": "C",
    "moderately inaccurate": "D",
    "very inaccurate": "E",
}
_ANSWER_CUE = re.compile(r"\banswer\b(?:\s+is\b)?", re.IGNORECASE)
_BEFORE_SMALL = re.compile(
    r"(?:^|[(\[{<*:]|(?<![A-Za-z])[\"'\u201c\u2018`]|\b(?:option|answer|choice|letter|choose|pick|is))\s*$",
    re.IGNORECASE,
)
_AFTER_SMALL = re.compile(r"\s*(?:$|[)\]}>*.,:;!_\"'\u201d\u2019`]|\n)")
_BETWEEN_ALTERNATIVES = re.compile(r"\W*(?:or|and|to)?\W*", re.IGNORECASE)
_RELEASED = re.compile(r"[a-eA-E](?=[^a-zA-Z])")


def parse_letter(answer: str, as_released: bool = False) -> str | None:
    """The option that an answer to a five-point item chooses.

    A letter counts where it stands alone: a capital anywhere, though not the article "A", a small one only in brackets,
    at the start or after a word like "option". The wording of an option counts as well. The earliest of these decides,
    what follows the word "answer" first. Two different letters offered side by side ("A/B") are no choice.

    Args:
        answer: What the model wrote.
        as_released: Read it as the published code does: the first of a-e or A-E in the first 12 characters that another
            character than an ASCII letter follows.

    Returns:
        A to E, or None where the answer makes no choice.

    Deviation:
        The published rule misses a letter at the end of the text and takes the last letter of a word for an answer
        ("The answer is B." gives E). It is kept as `as_released`.

    Example:
        >>> [parse_letter(answer) for answer in ("(B). Moderately Accurate", "The answer is D", "A", "A bit.", "A/B")]
        ['B', 'D', 'A', None, None]
        >>> [parse_letter(answer, as_released=True) for answer in ("(B). Moderately Accurate", "The answer is D", "A")]
        ['B', 'E', None]
    """
    if as_released:
        found = _RELEASED.search(answer[:12])
        return found.group().upper() if found else None
    text = _SPECIAL.sub(" ", answer).strip()
    cue = _ANSWER_CUE.search(text)
    return (_choice(text, cue.end()) if cue else None) or _choice(text, 0)


def _choice(text: str, start: int) -> str | None:
    """The earliest choice at or after `start`: a letter or an option's wording."""
    letters = _letters(text, start)
    letter, wording = next(letters, None), _WORDING.search(text, start)
    if wording and (letter is None or wording.start() < letter.start()):
        return _LETTER_OF_WORDING[wording.group().lower()]
    if letter is None:
        return None
    chosen, other = letter.group().upper(), next(letters, None)
    if other and _BETWEEN_ALTERNATIVES.fullmatch(text, letter.end(), other.start()) and other.group().upper() != chosen:
        return None
    return chosen


def _letters(text: str, start: int) -> Iterator[re.Match[str]]:
    """The letters that stand for an option, in order."""
    for match in _LETTER.finditer(text, start):
        letter, before, after = match.group(), text[: match.start()], text[match.end() :]
        if re.match(r"\.[A-Za-z]", after):  # an abbreviation such as "e.g."
            continue
        if letter.islower():
            stands_alone = bool(_BEFORE_SMALL.search(before) and _AFTER_SMALL.match(after))
        else:
            stands_alone = letter != "A" or not re.match(r"\s+[a-z]", after)
        if stands_alone:
            yield match
