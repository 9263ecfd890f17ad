"""The options of whatever asks a chat model: where it is, how hard it is pressed, and what may be spent."""

from __future__ import annotations

from dataclasses import dataclass

from files.errors import InputError
from llm.endpoint import DEFAULT_KEY_VARIABLE, ClientSettings, Endpoint, Patience
from llm.ledger import Limits, Prices


@dataclass(frozen=True)
class EndpointOptions:
    """A chat model behind an OpenAI-compatible endpoint, as a command line names it.

    Args:
        base_url: Address of the endpoint, such as http://127.0.0.1:8000/v1; without it what is built in
            answers, offline.
        model: The model's name at the endpoint.
        key_variable: Environment variable that holds the key; an endpoint on this machine needs none.
        cache: File of answers, kept from run to run; by default where the command keeps its own.
        concurrency: Most requests under way at once.
        requests_per_minute: Most requests a minute.
        timeout: Seconds for one attempt, from sending to the last byte.
        retries: How often a request is sent again after the endpoint, its rate limit or the connection failed.
        bad_answers: How often it is sent again after a refusal or a malformed answer.
        budget: Most that may be spent with this cache, in the currency of the prices.
        token_budget: Most tokens that may be spent with this cache.
        prompt_price: Price of a million tokens of prompts.
        completion_price: Price of a million tokens of answers.
        progress: Whether a progress bar is shown.
    """

    base_url: str | None = None
    model: str = ""
    key_variable: str = DEFAULT_KEY_VARIABLE
    cache: str | None = None
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout: float = 120.0
    retries: int = 6
    bad_answers: int = 2
    budget: float | None = None
    token_budget: int | None = None
    prompt_price: float = 0.0
    completion_price: float = 0.0
    progress: bool = True

    def client_settings(self, cache: str) -> ClientSettings:
        """What a client is made with.

        Args:
            cache: File of answers where the options name none.

        Raises:
            InputError: No endpoint is named.
        """
        if self.base_url is None:
            raise InputError(
                "is missing",
                field="--base_url",
                expected="the address of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1",
                fix="give --base_url and --model",
            )
        return ClientSettings(
            Endpoint(self.base_url, self.model, self.key_variable),
            self.cache or cache,
            Patience(self.concurrency, self.requests_per_minute, self.timeout, self.retries, self.bad_answers),
            Prices(self.prompt_price, self.completion_price),
            Limits(self.budget, self.token_budget),
            self.progress,
        )
