"""What results say of the judge behind them, and whether it may be believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from metrics.result_rows import ResultRow

LOWEST_CHECK = 0.5
"""Rank correlation with texts of known trait level below which a judge's figures are not to be relied on."""


class Judge(NamedTuple):
    """A judge as rows name it.

    Attributes:
        name: Of the judging model.
        version: Of the model or of its prompts; empty where not given.
        check: Rank correlation of its ratings with texts of known trait level; None where it was not checked.
    """

    name: str
    version: str
    check: float | None

    @property
    def doubtful(self) -> bool:
        """Whether it was checked and failed."""
        return self.check is not None and not self.check >= LOWEST_CHECK

    def __str__(self) -> str:
        """The name, version and check in one phrase."""
        named = f"{self.name} {self.version}".strip()
        return f"{named} (check: {self.check:.2f})" if self.check is not None else f"{named} (not checked)"


def judge_of(row: ResultRow) -> Judge | None:
    """The judge behind a row, None where nobody judged: its `judge` holds `name`, `version` and `check`.

    Example:
        >>> from metrics.result_rows import ResultRow
        >>> row = {"judge": {"name": "scripted", "version": "2", "check": 0.31}}
        >>> judge_of(ResultRow("b", "m", "lm", "all", "pae", 1, None, None, 5, None, None, None, None, row)).doubtful
        True
    """
    given = row.raw.get("judge")
    if not isinstance(given, Mapping):
        return None
    return Judge(str(given.get("name", "unnamed")), str(given.get("version", "")), _number(given.get("check")))


def judges(rows: Iterable[ResultRow]) -> list[Judge]:
    """All judges behind some rows, each once."""
    return list(dict.fromkeys(judge for row in rows if (judge := judge_of(row)) is not None))


def judge_warning(rows: Iterable[ResultRow]) -> str | None:
    """The line that a report begins with where a judge is not to be believed; None where all may be."""
    doubtful = [judge for judge in judges(rows) if judge.doubtful]
    if not doubtful:
        return None
    named = ", ".join(f"{judge.name} {judge.version}".strip() + f" ({judge.check:.2f})" for judge in doubtful)
    return (
        f"do not rely on the judged figures: on texts of known trait level the rank correlation of the judge is below "
        f"{LOWEST_CHECK} for {named}"
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
