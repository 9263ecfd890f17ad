"""A client of any OpenAI-compatible endpoint: many requests at once, each answered once, whatever the network does."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from files.errors import InputError
from llm.cache import AnswerCache
from llm.endpoint import ClientSettings
from llm.ledger import Ledger
from llm.progress import Bar
from llm.requests import REASONS, ChatFailure, ChatRequest, Outcome
from llm.session import Session

Receive = Callable[[int, Outcome], None]
# Results are handed on in order; so many may wait for a slow one before them.
_WAITING = 4


@dataclass
class Tally:
    """What became of a run of requests.

    Attributes:
        answered: Requests with an answer, those from the cache included.
        cached: Requests whose answer was known before.
        failures: Requests without an answer, by reason.
        attempts: How many times the endpoint was asked.
        tokens: Spent with this cache, by this run and all before it.
        cost: The same in money.
    """

    answered: int = 0
    cached: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    tokens: int = 0
    cost: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Add one outcome."""
        if isinstance(outcome, ChatFailure):
            self.failures[outcome.reason] += 1
            self.attempts += outcome.attempts
            return
        self.answered += 1
        self.cached += outcome.cached
        self.attempts += 0 if outcome.cached else outcome.attempts

    def __str__(self) -> str:
        """One line for the user."""
        parts = [f"{self.answered} answered ({self.cached} of them before)"]
        parts += [f"{count} failed: {_meaning(reason)}" for reason, count in sorted(self.failures.items())]
        return ", ".join([*parts, f"{self.tokens} tokens"] + ([f"cost {self.cost:.4f}"] if self.cost else []))


class ChatClient:
    """Asks a chat model many things at once and keeps every answer.

    An answer that is in the cache is not asked for again. Equal requests are asked once; give them different `draw`
    numbers where each is to have an answer of its own. A request fails for itself: it is counted and the others go on.

    Args:
        settings: Whom to ask, and how.
        environment: Where the key is looked up; the program's environment by default.
        seed: Seed of the pauses.

    Raises:
        InputError: A setting is wrong, the key is missing, or the cache cannot be opened.
    """

    def __init__(self, settings: ClientSettings, environment: Mapping[str, str] | None = None, seed: int = 0) -> None:
        settings.check()
        self.settings = settings
        self._key = settings.endpoint.key(environment)
        self._secret = settings.endpoint.secret(environment)
        self._rng = Random(seed)
        self.cache = AnswerCache(settings.cache)

    def ask(self, request: ChatRequest) -> Outcome:
        """Ask one thing.

        Raises:
            InputError: As in `run`.
        """
        outcomes: list[Outcome] = []
        self.run([request], lambda _, outcome: outcomes.append(outcome), shown_progress=False)
        return outcomes[0]

    def run(
        self,
        requests: Iterable[ChatRequest],
        receive: Receive,
        title: str = "asking",
        total: int | None = None,
        shown_progress: bool | None = None,
    ) -> Tally:
        """Ask many things; the requests are taken as they are needed, so that a long list needs little memory.

        Args:
            requests: What to ask.
            receive: Called with the number of each request and what came of it, in the order of the requests.
            title: What the progress bar says.
            total: How many requests there are, for the bar.
            shown_progress: Whether a bar is shown; as in the settings by default.

        Returns:
            What became of them.

        Raises:
            InputError: The openai package is missing, or the endpoint refuses everything (key, address, model) or was
                never reached.
            KeyboardInterrupt: On Ctrl-C; what was answered until then is kept.
        """
        progress = self.settings.progress if shown_progress is None else shown_progress
        if total is None and isinstance(requests, list):
            total = len(requests)
        with Bar(title, total, progress) as bar:
            return asyncio.run(self._run(requests, receive, bar))

    def close(self) -> None:
        """Close the cache."""
        self.cache.close()

    async def _run(self, requests: Iterable[ChatRequest], receive: Receive, bar: Bar) -> Tally:
        tokens, cost = self.cache.spent()
        ledger = Ledger(self.settings.prices, self.settings.limits, tokens, cost)
        tally = Tally()
        waiting: deque[asyncio.Task[Outcome]] = deque()
        number = 0

        async def hand_on() -> None:
            nonlocal number
            outcome = await waiting[0]
            waiting.popleft()
            tally.count(outcome)
            receive(number, outcome)
            number += 1
            bar.advance(tally.failures, ledger.cost)

        async with _api(self.settings, self._key) as api:
            session = Session(self.settings, self.cache, ledger, api, self._secret, self._rng)
            try:
                for request in requests:
                    waiting.append(asyncio.create_task(session.outcome(request)))
                    while len(waiting) >= _WAITING * self.settings.patience.concurrency:
                        await hand_on()
                while waiting:
                    await hand_on()
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
        tally.tokens, tally.cost = ledger.tokens, ledger.cost
        return tally


def _api(settings: ClientSettings, key: str) -> Any:
    """The openai package's own client, with its retries off: ours know of budgets and bad answers."""
    try:
        import openai
    except ImportError as error:
        raise InputError(
            "asking an endpoint needs a package that is not installed",
            expected="the openai package",
            fix='pip install "oceantune[judge]"',
        ) from error
    endpoint, patience = settings.endpoint, settings.patience
    api = openai.AsyncOpenAI(base_url=endpoint.base_url, api_key=key, max_retries=0, timeout=patience.timeout)
    # The package loads most of itself at the first use, which must not count as waiting for an answer.
    _ = api.chat.completions
    return api


def _meaning(reason: str) -> str:
    return next((text for name, text in REASONS.items() if name == reason), reason)
