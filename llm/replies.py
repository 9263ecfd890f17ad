"""Reading what an endpoint sent: an answer, a refusal, or something that is neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llm.requests import ChatRequest, Reason

_REFUSALS = re.compile(
    r"^\W*(?:"
    r"(?:i'?m|i am) (?:very |so |really )?sorry,? (?:but )?(?:i|as an ai)\b.{0,40}\b(?:can(?:no|')t|unable|not able)\b"
    r"|(?:sorry,? (?:but )?)?i (?:can(?:no|')t|am unable to|am not able to|won't|will not)"
    r" (?:help with|assist|comply|fulfil|fulfill|provide|engage|participate|continue with|create|generate)\b"
    r"|as an ai(?: language)? model\b"
    r")",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_DETAIL = 200


@dataclass(frozen=True)
class Reply:
    """What an endpoint sent.

    Attributes:
        text: The answer; empty where there is none.
        fault: Why it cannot be used; None where it can.
        detail: What is wrong, in words.
        prompt_tokens: Length of the prompt; None where the endpoint does not say.
        completion_tokens: Length of the answer; None where it does not say.
    """

    text: str = ""
    fault: Reason | None = None
    detail: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def read_reply(completion: Any, request: ChatRequest) -> Reply:
    """Judge a completion as the openai package gives it, which may lack any of its parts.

    Args:
        completion: What came.
        request: What was asked.
    """
    usage = getattr(completion, "usage", None)
    tokens = {name: _count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")}
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        return Reply("", "malformed", "an answer without choices", **tokens)
    message = getattr(choices[0], "message", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    if refusal or getattr(choices[0], "finish_reason", None) == "content_filter":
        return Reply("", "refusal", shown(str(refusal or "stopped by the endpoint's filter")), **tokens)
    if not isinstance(text, str) or not text.strip():
        return Reply("", "malformed", "an answer without text", **tokens)
    if request.refusals and _REFUSALS.match(text):
        return Reply(text, "refusal", shown(text), **tokens)
    wrong = request.check(text) if request.check else None
    return Reply(text, "malformed" if wrong else None, shown(wrong or ""), **tokens)


def is_refusal(text: str) -> bool:
    """Whether a text reads like a model that declines.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("I cannot play the harp.")
    (True, False)
    """
    return _REFUSALS.match(text) is not None


def shown(text: str) -> str:
    """A text on one line, cut to what fits into a message."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_DETAIL else f"{line[: _LONGEST_DETAIL - 3]}..."


def without_secret(text: str, secret: str) -> str:
    """A text in which a secret does not occur.

    >>> without_secret("wrong key sk-1234567 given", "sk-1234567")
    'wrong key [key] given'
    """
    return text.replace(secret, "[key]") if secret else text


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
