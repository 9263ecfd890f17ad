"""A judge: a chat model that rates and ranks by a protocol, several times, and whose failures are counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from files.errors import InputError
from judging.protocol import Protocol
from judging.readings import FAULTS, Unread, read_ranking, read_rating, read_word
from llm.client import ChatClient
from llm.requests import REASONS, ChatAnswer, ChatFailure, ChatRequest, Outcome
from metrics.rater_agreement import rating_agreement

_UNREACHED = ("connection", "timeout", "server")
Item = Mapping[str, str]
T = TypeVar("T")


@dataclass
class Account:
    """What judging came to, beside the judgements.

    Attributes:
        asked: Judgements that were asked for.
        faults: Those without a usable answer, by kind: the judge said something else, or did not answer.
        unread: How many of them came and could not be read; they have no score, above all not 0.
        tokens: What the answers took, known ones included.
        cost: The same in money.
    """

    asked: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __str__(self) -> str:
        """One line for the user."""
        meaning: dict[str, str] = {str(name): text for name, text in (*REASONS.items(), *FAULTS.items())}
        parts = [f"{count} {meaning[fault]}" for fault, count in sorted(self.faults.items())]
        return f"{self.asked} judgements, {'no failures' if not parts else 'failures: ' + ', '.join(parts)}"


@dataclass(frozen=True)
class Ratings:
    """Ratings of some items.

    Attributes:
        values: (I, K) each item's rating in each repeat, nan where there is none.
        unread: (I, K) where an answer came that could not be read.
        account: What it came to.
        low: Least rating.
        high: Highest rating.
    """

    values: Tensor
    unread: Tensor
    account: Account
    low: int
    high: int

    @property
    def means(self) -> list[float | None]:
        """Each item's mean over the repeats that gave a rating; None where none did."""
        return [None if math.isnan(value) else value for value in self.values.nanmean(-1).tolist()]

    @property
    def agreement(self) -> float | None:
        """How far repeats agree; None where that is not defined."""
        return rating_agreement(self.values, self.low, self.high)


@dataclass(frozen=True)
class Rankings:
    """Orders of the answers to some questions, each asked with the answers in one order and in the other.

    Attributes:
        ranks: For each item and repeat the rank of each answer, 1 being the best, in both orders; None where either
            order could not be read, since one alone would favour a place.
        account: What it came to.
    """

    ranks: list[list[tuple[list[int], list[int]] | None]]
    account: Account


class Judge:
    """A chat model behind an endpoint that judges.

    Answers are read after they were kept, so that an answer that cannot be read counts as one each time and is not
    asked for again: a second run with the same cache asks for nothing.

    Args:
        client: Asks the chat model.
    """

    def __init__(self, client: ChatClient) -> None:
        self.client = client

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.client.settings.endpoint.model

    @property
    def address(self) -> str:
        """Where it is."""
        return self.client.settings.endpoint.base_url

    def rate(self, protocol: Protocol, items: Sequence[Item]) -> Ratings:
        """Rate items, each as often as the protocol says.

        Args:
            protocol: How.
            items: What stands in the places of its template.

        Raises:
            InputError: The endpoint refuses everything.
        """
        account = Account()
        requests = [protocol.request(item, draw) for item in items for draw in range(protocol.repeats)]
        reader = partial(read_rating, low=protocol.low, high=protocol.high, reasons=protocol.reasons)
        outcomes = self._outcomes(requests, account)
        read = [_read(outcome, reader, account) for outcome in outcomes]
        shape = len(items), protocol.repeats
        values = torch.tensor([math.nan if value is None else float(value) for value in read], dtype=torch.float64)
        came = torch.tensor([isinstance(outcome, ChatAnswer) for outcome in outcomes], dtype=torch.bool)
        return Ratings(
            values.reshape(shape), (came & values.isnan()).reshape(shape), account, protocol.low, protocol.high
        )

    def rank(self, protocol: Protocol, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rankings:
        """Rank the answers to questions, in the order given and in the opposite one.

        Args:
            protocol: How.
            items: What stands in the other places of its template.
            answers: The answers to each.

        Raises:
            InputError: The endpoint refuses everything.
        """
        account = Account()
        requests = [
            protocol.request({**item, "answers": numbered(ordered)}, draw)
            for item, given in zip(items, answers, strict=True)
            for draw in range(protocol.repeats)
            for ordered in (list(given), list(given)[::-1])
        ]
        counts = [len(given) for given in answers for _ in range(2 * protocol.repeats)]
        outcomes = self._outcomes(requests, account)
        read = [
            _read(outcome, partial(read_ranking, count=count), account)
            for outcome, count in zip(outcomes, counts, strict=True)
        ]
        pairs = [_both_orders(one, other) for one, other in zip(read[::2], read[1::2], strict=True)]
        step = protocol.repeats
        return Rankings([pairs[start : start + step] for start in range(0, len(pairs), step)], account)

    def sort(self, protocol: Protocol, items: Sequence[Item]) -> tuple[list[bool], Account]:
        """Which items are of the kind that a protocol judges; all of them where it does not ask.

        Raises:
            InputError: The endpoint refuses everything.
        """
        account = Account()
        sorting = protocol.sorting
        if sorting is None:
            return [True] * len(items), account
        requests = [protocol.sorting_request(item) for item in items]
        reader = partial(read_word, words=sorting.answers)
        words = [_read(outcome, reader, account) for outcome in self._outcomes(requests, account)]
        return [word == sorting.wanted for word in words], account

    def _outcomes(self, requests: Sequence[ChatRequest], account: Account) -> list[Outcome]:
        """What came of requests; what equal ones cost is counted once."""
        outcomes: list[Outcome] = []
        self.client.run(list(requests), lambda _, outcome: outcomes.append(outcome), "judging")
        self._check_reached(outcomes)
        account.asked += len(requests)
        once = {request.key(self.address, self.name): one for request, one in zip(requests, outcomes, strict=True)}
        answers = [one for one in once.values() if isinstance(one, ChatAnswer)]
        account.tokens += sum(one.prompt_tokens + one.completion_tokens for one in answers)
        account.cost += math.fsum(one.cost for one in answers)
        return outcomes

    def _check_reached(self, outcomes: Sequence[Outcome]) -> None:
        """Say so where nothing came through: figures of no answer at all are not worth a file."""
        lost = [one for one in outcomes if isinstance(one, ChatFailure) and one.reason in _UNREACHED]
        if outcomes and len(lost) == len(outcomes):
            raise InputError(
                f"the endpoint answered none of {len(outcomes)} requests: {lost[0].detail}",
                field="--base_url",
                expected="a chat model that is running and can be reached",
                got=self.address,
                fix="see that it runs, then give the same command again",
            )


def numbered(answers: Sequence[str]) -> str:
    """Answers with their numbers, as they stand in a prompt.

    Example:
        >>> print(numbered(["Tea.", "Coffee."]))
        <answer number="1">
        Tea.
        </answer>
        <BLANKLINE>
        <answer number="2">
        Coffee.
        </answer>
    """
    return "\n\n".join(f'<answer number="{place}">\n{text}\n</answer>' for place, text in enumerate(answers, start=1))


def _read(outcome: Outcome, reader: Callable[[str], T], account: Account) -> T | None:
    """What an answer says; None where it says nothing usable, which is counted."""
    if isinstance(outcome, ChatFailure):
        account.faults[outcome.reason] += 1
        return None
    try:
        return reader(outcome.text)
    except Unread as unread:
        account.faults[unread.fault] += 1
        account.unread += 1
        return None


def _both_orders(given: tuple[int, ...] | None, swapped: tuple[int, ...] | None) -> tuple[list[int], list[int]] | None:
    """Ranks of the answers, in the order given, by the judgement of either order."""
    if given is None or swapped is None:
        return None
    last = len(given) - 1
    back = [last - place for place in swapped]
    return [given.index(place) + 1 for place in range(last + 1)], [back.index(place) + 1 for place in range(last + 1)]
