"""Turning what somebody says about themselves into what is said to them."""

from __future__ import annotations

import re

_WORDS = (
    (r"\bmyself\b", "yourself"),
    (r"\bmy\b", "your"),
    (r"\bI am\b", "you are"),
    (r"\bI\b", "you"),
    (r"\bme\b", "you"),
)


def second_person(text: str) -> str:
    """Turn a phrase of the speaker into one about the listener.

    >>> second_person("keep my opinions to myself")
    'keep your opinions to yourself'
    """
    for pattern, word in _WORDS:
        text = re.sub(pattern, word, text)
    return text


def told(statement: str) -> str:
    """Tell somebody a statement of a questionnaire, which leaves out its subject.

    >>> told("Keep my promises."), told("Am easily bored.")
    ('You keep your promises.', 'You are easily bored.')
    """
    text = second_person(statement[:1].lower() + statement[1:])
    return f"You {re.sub(r'^am ', 'are ', text)}"
