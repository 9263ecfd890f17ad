"""Counting tokens and cost, so that a budget is never exceeded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from files.errors import InputError
from llm.requests import ChatRequest

_MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in whatever currency the budget is in."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What a request costs.

        >>> Prices(prompt=2.5, completion=10).cost(1000, 100)
        0.0035
        """
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION


@dataclass(frozen=True)
class Limits:
    """How much may be spent with one cache, over all programs that use it.

    Attributes:
        cost: Largest cost; None is no limit.
        tokens: Most tokens, prompts and answers together; None is no limit.
    """

    cost: float | None = None
    tokens: int | None = None

    def check(self, prices: Prices) -> None:
        """Refuse limits that allow or mean nothing.

        Raises:
            InputError: A limit is not positive, or one of cost has no prices to go by.
        """
        for name, value in (("--budget", self.cost), ("--token_budget", self.tokens)):
            if value is not None and not value > 0:
                raise InputError(
                    "allows nothing",
                    field=name,
                    expected="more than 0",
                    got=value,
                    fix="give a budget, or leave it out",
                )
        if self.cost is not None and not (prices.prompt > 0 or prices.completion > 0):
            raise InputError(
                "cannot be kept without prices",
                field="--budget",
                expected="--prompt_price and --completion_price, per million tokens",
                got=f"prices {prices.prompt} and {prices.completion}",
                fix="give the endpoint's prices, or use --token_budget",
            )


class Ledger:
    """What has been spent, and what the requests under way may still cost.

    Args:
        prices: What tokens cost.
        limits: How much may be spent.
        tokens: Already spent.
        cost: Already spent.
    """

    def __init__(self, prices: Prices, limits: Limits, tokens: int = 0, cost: float = 0.0) -> None:
        self.prices, self.limits = prices, limits
        self.tokens, self.cost = tokens, cost
        self._held_tokens, self._held_cost = 0, 0.0
        self._settled = asyncio.Condition()

    async def hold(self, request: ChatRequest) -> tuple[int, float] | None:
        """Set aside the most that a request can cost, before it is sent.

        It waits where the requests under way have to be settled first.

        Returns:
            What was set aside; None where the budget does not allow the request.
        """
        prompt = request.most_prompt_tokens()
        most = (prompt + request.max_tokens, self.prices.cost(prompt, request.max_tokens))
        async with self._settled:
            while not self._allows(most[0] + self._held_tokens, most[1] + self._held_cost):
                if not self._held_tokens or not self._allows(*most):
                    return None
                await self._settled.wait()
            self._held_tokens, self._held_cost = self._held_tokens + most[0], self._held_cost + most[1]
        return most

    async def settle(self, held: tuple[int, float], tokens: int, cost: float) -> None:
        """Replace what was set aside by what was spent."""
        async with self._settled:
            self._held_tokens -= held[0]
            self._held_cost = self._held_cost - held[1] if self._held_tokens else 0.0
            self.tokens, self.cost = self.tokens + tokens, self.cost + cost
            self._settled.notify_all()

    def _allows(self, tokens: int, cost: float) -> bool:
        limits = self.limits
        return (limits.tokens is None or self.tokens + tokens <= limits.tokens) and (
            limits.cost is None or self.cost + cost <= limits.cost
        )
