"""How one request is tried: sent, judged, sent again after a pause, and its cost settled."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from files.errors import InputError
from llm.cache import AnswerCache
from llm.endpoint import ClientSettings
from llm.ledger import Ledger
from llm.pace import Pace, backoff, retry_after
from llm.replies import Reply, read_reply, shown, without_secret
from llm.requests import REASONS, ChatAnswer, ChatFailure, ChatRequest, Outcome, Reason

# These concern every request, so that going on would be pointless.
_FATAL = {401: "refuses the key", 403: "does not allow this", 404: "does not know this address or model"}
_AGAIN = {408, 409, 429}
_BAD_ANSWERS = ("refusal", "malformed")


@dataclass
class _Fault:
    """Why one attempt gave no answer."""

    reason: Reason
    detail: str
    pause: float | None = None
    final: bool = False
    # Whether the endpoint may have charged for it without saying how much.
    charged: bool = False
    # Whether nothing listened at the address.
    unreached: bool = False


class Session:
    """One run of requests: what is under way, and how each is tried.

    Args:
        settings: Whom to ask, and how.
        cache: Where answers are kept.
        ledger: Counts what is spent.
        api: The openai package's client.
        secret: What must not occur in a failure's detail.
        rng: Draws the pauses.
    """

    def __init__(
        self, settings: ClientSettings, cache: AnswerCache, ledger: Ledger, api: Any, secret: str, rng: Random
    ) -> None:
        self.ledger = ledger
        self._settings, self._patience, self._cache, self._api = settings, settings.patience, cache, api
        self._secret, self._rng = secret, rng
        self._free = asyncio.Semaphore(self._patience.concurrency)
        self._pace = Pace(self._patience.requests_per_minute)
        self._under_way: dict[str, asyncio.Future[Outcome]] = {}
        self._reached = False

    async def outcome(self, request: ChatRequest) -> Outcome:
        """What comes of a request: from the cache, from an equal one under way, or from the endpoint.

        Raises:
            InputError: The endpoint refuses every request or was never reached, or the cache cannot be written.
        """
        endpoint = self._settings.endpoint
        key = request.key(endpoint.base_url, endpoint.model)
        known = self._cache.get(key)
        if known is not None:
            return known
        if key in self._under_way:
            same = await asyncio.shield(self._under_way[key])
            return replace(same, cached=True) if isinstance(same, ChatAnswer) else replace(same, attempts=0)
        self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            async with self._free:
                outcome = await self._tried(request, key)
            self._under_way[key].set_result(outcome)
            return outcome
        finally:
            future = self._under_way.pop(key)
            if not future.done():
                future.cancel()

    async def _tried(self, request: ChatRequest, key: str) -> Outcome:
        faults: Counter[str] = Counter()
        attempt = 0
        while True:
            held = await self.ledger.hold(request)
            if held is None:
                return ChatFailure("budget", REASONS["budget"], attempt)
            attempt += 1
            result = await self._attempt(request, key, held)
            self._reached |= isinstance(result, Reply) or not result.unreached
            if isinstance(result, Reply):
                answer = self._answer(result, request, attempt, held)
                endpoint = self._settings.endpoint
                self._cache.put(key, endpoint.base_url, endpoint.model, request, answer)
                return answer
            bad = result.reason in _BAD_ANSWERS
            faults["bad" if bad else "failed"] += 1
            allowed = self._patience.bad_answers if bad else self._patience.retries
            if result.final or faults["bad" if bad else "failed"] > allowed:
                if not self._reached:  # nor would any other request
                    raise self._out_of_reach(result.detail)
                return ChatFailure(result.reason, without_secret(result.detail, self._secret), attempt)
            if result.pause is not None:
                self._pace.wait(result.pause)
            else:
                first, longest = self._patience.first_pause, self._patience.longest_pause
                await asyncio.sleep(backoff(faults.total(), first, longest, self._rng))

    async def _attempt(self, request: ChatRequest, key: str, held: tuple[int, float]) -> Reply | _Fault:
        """Send a request once, and settle what it cost however it ends."""
        tokens, cost = 0, 0.0
        try:
            await self._pace.turn()
            # From here on the endpoint may charge for it; a program that is stopped now counts the most it can cost.
            tokens, cost = held
            result = await self._sent(request)
            if isinstance(result, Reply):
                spent = self._answer(result, request, 0, held)
                tokens, cost = spent.prompt_tokens + spent.completion_tokens, spent.cost
                if result.fault is None:
                    return result
                counts = (spent.prompt_tokens, spent.completion_tokens, spent.cost)
                self._cache.waste(key, result.fault, *counts)
                return _Fault(result.fault, result.detail)
            if not result.charged:
                tokens, cost = 0, 0.0
            else:
                self._cache.waste(key, result.reason, tokens, 0, cost)
            return result
        finally:
            await self.ledger.settle(held, tokens, cost)

    async def _sent(self, request: ChatRequest) -> Reply | _Fault:
        import openai

        content = request.content()
        options = {"seed": request.seed} if request.seed is not None else {}
        try:
            async with asyncio.timeout(self._patience.timeout):
                completion = await self._api.chat.completions.create(
                    model=self._settings.endpoint.model,
                    messages=content["messages"],
                    max_tokens=request.max_tokens,
                    temperature=request.temperature,
                    **options,
                )
        except (TimeoutError, openai.APITimeoutError):
            return _Fault("timeout", f"nothing after {self._patience.timeout:g} s", charged=True)
        except openai.APIConnectionError as error:
            unreached = (
                type(error.__cause__).__name__ == "ConnectError"
            )  # the class is that of openai's own HTTP client
            detail = shown(str(error.__cause__ or error))
            return _Fault("connection", detail, charged=not unreached, unreached=unreached)
        except openai.APIStatusError as error:
            return self._status(error)
        except (openai.APIError, ValueError) as error:
            # The bytes of an answer came, but they are no JSON; it was charged for all the same.
            return _Fault("malformed", shown(f"no JSON: {error}"), charged=True)
        return read_reply(completion, request)

    def _out_of_reach(self, detail: str) -> InputError:
        return InputError(
            f"the endpoint cannot be reached: {without_secret(detail, self._secret)}",
            field="--base_url",
            expected="a chat model that is running and can be reached",
            got=self._settings.endpoint.base_url,
            fix="see that it runs, then give the same command again",
        )

    def _status(self, error: Any) -> _Fault:
        status = int(error.status_code)
        if status in _FATAL:
            # What the endpoint says is left out: it may quote the key.
            raise InputError(
                f"the endpoint {_FATAL[status]} (HTTP {status})",
                field="--key_variable" if status in (401, 403) else "--base_url or --model",
                expected=f"an endpoint that serves {self._settings.endpoint.model}",
                got=self._settings.endpoint.base_url,
                fix=f"check the key in {self._settings.endpoint.key_variable}, the address and the model's name",
            ) from None
        detail = shown(f"HTTP {status}: {error.message}")
        if status in _AGAIN or status >= 500:
            pause = retry_after(error.response.headers, self._patience.longest_pause)
            return _Fault("limit" if status == 429 else "server", detail, pause)
        return _Fault("rejected", detail, final=True)

    def _answer(self, reply: Reply, request: ChatRequest, attempts: int, held: tuple[int, float]) -> ChatAnswer:
        """The answer with its cost; what the endpoint does not count is taken as the most it can be."""
        prompt = reply.prompt_tokens if reply.prompt_tokens is not None else held[0] - request.max_tokens
        completion = reply.completion_tokens if reply.completion_tokens is not None else request.max_tokens
        return ChatAnswer(reply.text, prompt, completion, self._settings.prices.cost(prompt, completion), attempts)
