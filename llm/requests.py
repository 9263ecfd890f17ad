"""What is asked of a language model behind an endpoint, and what comes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Message = dict[str, str]
Reason = Literal["refusal", "malformed", "rejected", "limit", "server", "timeout", "connection", "budget"]
REASONS: dict[Reason, str] = {
    "refusal": "the model refused",
    "malformed": "no usable answer came",
    "rejected": "the endpoint rejected the request",
    "limit": "the endpoint's rate limit stayed in force",
    "server": "the endpoint failed",
    "timeout": "no answer came in time",
    "connection": "the connection failed",
    "budget": "not asked, the budget would have been exceeded",
}
# Tokens that a chat template puts around each message, at the most.
_AROUND_A_MESSAGE = 16


@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model.

    Attributes:
        messages: The turns.
        max_tokens: Longest answer.
        temperature: 0 is greedy.
        seed: Passed to the endpoint, where it knows one.
        draw: Number of this request among equal ones of which each is to have an answer of its own.
        check: Says what is wrong with an answer, or None; a wrong one is asked for again. It is no part of what
            identifies a request.
        refusals: Whether an answer that reads like a refusal is one.
    """

    messages: Sequence[Message]
    max_tokens: int = 512
    temperature: float = 1.0
    seed: int | None = None
    draw: int = 0
    check: Callable[[str], str | None] | None = field(default=None, compare=False)
    refusals: bool = True

    def content(self) -> dict[str, Any]:
        """Everything that the answer depends on, apart from endpoint and model."""
        return {
            "messages": [{"role": one["role"], "content": one["content"]} for one in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "draw": self.draw,
        }

    def key(self, endpoint: str, model: str) -> str:
        """What the request is called in a cache.

        >>> one = ChatRequest([{"role": "user", "content": "Hi"}])
        >>> one.key("http://a/v1", "m") == one.key("http://a/v1", "n")
        False
        """
        content = {"endpoint": endpoint, "model": model, **self.content()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()

    def most_prompt_tokens(self) -> int:
        """A number of tokens that the prompt cannot exceed: a token is at least a byte."""
        return sum(len(one["content"].encode("utf-8")) + _AROUND_A_MESSAGE for one in self.messages)


@dataclass(frozen=True)
class ChatAnswer:
    """A usable answer.

    Attributes:
        text: What the model said.
        prompt_tokens: Length of the prompt, as the endpoint counted it.
        completion_tokens: Length of the answer.
        cost: What it cost, by the prices given.
        attempts: How many times it was asked.
        cached: Whether it had been asked before.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    attempts: int = 1
    cached: bool = False


@dataclass(frozen=True)
class ChatFailure:
    """No usable answer.

    Attributes:
        reason: What kind of failure, see `REASONS`.
        detail: What was last seen.
        attempts: How many times it was asked.
    """

    reason: Reason
    detail: str
    attempts: int = 0


Outcome = ChatAnswer | ChatFailure
