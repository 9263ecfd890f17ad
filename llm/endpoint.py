"""Which endpoint is asked, with what key, and how hard it is pressed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from files.errors import InputError
from llm.ledger import Limits, Prices

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
# What the openai package must be given where an endpoint wants none.
_NO_KEY = "none"


@dataclass(frozen=True)
class Endpoint:
    """A chat model behind an OpenAI-compatible endpoint.

    Attributes:
        base_url: Address, up to and with `/v1`.
        model: The model's name there.
        key_variable: Environment variable that holds the key; the key itself is no option and is written nowhere.
    """

    base_url: str
    model: str
    key_variable: str = DEFAULT_KEY_VARIABLE

    def check(self) -> None:
        """Refuse an address that cannot be asked, or that holds a secret.

        Raises:
            InputError: It is no http address, or has a user, a password or a query in it; or there is no model.
        """
        try:
            parts = urlsplit(self.base_url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and self.base_url.isprintable()
            known = known and (parts.port is None or parts.port > 0)  # which raises where the port is no number
        except ValueError:
            known = False
        if not known:
            raise InputError(
                "is not an address",
                field="--base_url",
                expected="an address such as http://127.0.0.1:8000/v1",
                got=self.base_url,
                fix="give the address of an OpenAI-compatible endpoint",
            )
        if parts.username or parts.password or parts.query:
            # What came is not shown: it would show the secret.
            raise InputError(
                "must not hold a key, a password or a query, because it is written into records",
                field="--base_url",
                expected="an address without them",
                fix="put the key into an environment variable and name that with --key_variable",
            )
        if not self.model.strip():
            raise InputError("is empty", field="--model", expected="the model's name at the endpoint", got=self.model)

    @property
    def backend(self) -> str:
        """What records call it."""
        return f"{self.model} at {self.base_url}"

    def key(self, environment: Mapping[str, str] | None = None) -> str:
        """The key, from the environment; an endpoint on this machine needs none.

        Raises:
            InputError: The variable is not set, and the endpoint is somewhere else.
        """
        value = (os.environ if environment is None else environment).get(self.key_variable, "").strip()
        if not value and not self._is_local():
            raise InputError(
                f"the environment variable {self.key_variable} is not set",
                field="--key_variable",
                expected="the key of the endpoint in that variable",
                got="nothing",
                fix=f"export {self.key_variable}=..., or name another variable with --key_variable",
            )
        return value or _NO_KEY

    def secret(self, environment: Mapping[str, str] | None = None) -> str:
        """The key where there is one, else nothing."""
        key = self.key(environment)
        return "" if key == _NO_KEY else key

    def _is_local(self) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class Patience:
    """How an endpoint is asked, and asked again.

    Attributes:
        concurrency: Most requests under way at once.
        requests_per_minute: Most requests a minute; None is no limit.
        timeout: Seconds for one attempt, from sending to the last byte.
        retries: How often a request is sent again after the endpoint, its rate limit or the connection failed.
        bad_answers: How often it is sent again after a refusal or a malformed answer.
        first_pause: Seconds before the first of them; then twice as long each time.
        longest_pause: Longest pause, also where the endpoint asks for a longer one.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout: float = 120.0
    retries: int = 6
    bad_answers: int = 2
    first_pause: float = 0.5
    longest_pause: float = 60.0

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            InputError: A number is too small or too large.
        """
        limits = {"concurrency": (1, 10_000), "retries": (0, 100), "bad_answers": (0, 100)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(
                    "is too small" if getattr(self, name) < least else "is too large",
                    field=f"--{name}",
                    expected=f"{least} to {most}",
                    got=getattr(self, name),
                    fix="correct it",
                )
        for name in ("timeout", "requests_per_minute", "longest_pause"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError("is too small", field=f"--{name}", expected="more than 0", got=value, fix="raise it")


@dataclass(frozen=True)
class ClientSettings:
    """Everything that a client needs to know.

    Attributes:
        endpoint: Whom to ask.
        cache: File of answers, kept from run to run.
        patience: How hard to try.
        prices: What tokens cost.
        limits: How much may be spent with this cache.
        progress: Whether a bar is shown.
    """

    endpoint: Endpoint
    cache: str
    patience: Patience = field(default_factory=Patience)
    prices: Prices = field(default_factory=Prices)
    limits: Limits = field(default_factory=Limits)
    progress: bool = True

    def check(self) -> None:
        """Refuse settings that cannot work, before anything is asked.

        Raises:
            InputError: One of them is wrong.
        """
        self.endpoint.check()
        self.patience.check()
        self.limits.check(self.prices)
