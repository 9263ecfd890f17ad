"""What an evaluation took: time, memory, tokens and money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metrics.result_rows import ResultRow
from report.boards import Board

SPENT = {
    "records": "records",
    "seconds": "seconds",
    "peak_memory_mb": "peak MB",
    "tokens": "tokens of a judge",
    "money": "US dollars",
}
"""What is told of costs, with its heading."""
_TOKENS = ("tokens", "total_tokens")
_TOKEN_PARTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_MONEY = ("money", "usd", "dollars", "cost")


@dataclass(frozen=True)
class Spending:
    """What one method took on one benchmark.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        method: The method.
        records: Number of records.
        seconds: Time of the run.
        peak_memory_mb: Largest memory of the run.
        tokens: Tokens of a judge or annotator.
        money: Their price, in US dollars.
    """

    benchmark: str
    model: str
    method: str
    records: int
    seconds: float | None
    peak_memory_mb: float | None
    tokens: float | None
    money: float | None


def spendings(found: Sequence[Board]) -> list[Spending]:
    """What each method took, from the rows of its leading figures.

    Args:
        found: The boards.

    Returns:
        One for each method of each board.
    """
    spent = []
    for board in found:
        for method, figures in board.methods.items():
            rows = list(figures.values())
            paid = [tokens_and_money(row) for row in rows]
            spent.append(
                Spending(
                    board.benchmark,
                    board.model,
                    method,
                    max(row.n for row in rows),
                    _largest([row.seconds for row in rows]),
                    _largest([row.peak_memory_mb for row in rows]),
                    _largest([tokens for tokens, _ in paid]),
                    _largest([money for _, money in paid]),
                )
            )
    return spent


def shows(spent: Sequence[Spending], name: str) -> bool:
    """Whether anybody is known to have spent any of it."""
    return any(getattr(one, name) is not None for one in spent)


def tokens_and_money(row: ResultRow) -> tuple[float | None, float | None]:
    """Tokens and money of a row: its `cost` is an amount of money, or an object that names both.

    Example:
        >>> from metrics.result_rows import ResultRow
        >>> raw = {"cost": {"prompt_tokens": 30, "completion_tokens": 12, "money": 0.5}}
        >>> tokens_and_money(ResultRow("b", "m", "lm", "all", "pae", 1, None, None, 5, None, None, None, None, raw))
        (42.0, 0.5)
    """
    return _tokens(row.raw.get("cost")), _money(row.raw.get("cost"))


def _tokens(cost: Any) -> float | None:
    if not isinstance(cost, Mapping):
        return None
    whole = _first(cost, _TOKENS)
    parts = [number for name in _TOKEN_PARTS if (number := _number(cost.get(name))) is not None]
    return whole if whole is not None else sum(parts) if parts else None


def _money(cost: Any) -> float | None:
    return _first(cost, _MONEY) if isinstance(cost, Mapping) else _number(cost)


def _first(cost: Mapping[str, Any], names: Sequence[str]) -> float | None:
    return next((number for name in names if (number := _number(cost.get(name))) is not None), None)


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
