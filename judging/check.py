"""A judge is checked before it is believed: do its ratings rank texts by the trait level that they were written at?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from judging.figures import end_of
from judging.judge import Account, Judge
from judging.protocol import Protocol
from metrics.benchmark import finite
from metrics.bootstrap import Interval, bootstrap_interval
from metrics.rank_correlation import rank_correlation
from organism.graded_texts import GradedText, graded_texts
from report.judging import LOWEST_CHECK

_KNOWN = frozenset(("answer", "question", "trait", "pole", "adjectives", "facets"))


@dataclass(frozen=True)
class Check:
    """What a check of a judge has shown.

    Attributes:
        name: The judge.
        version: What it was asked with.
        endpoint: Where it is.
        correlation: Spearman's rank correlation of ratings and levels, over all texts, with its interval.
        by_trait: The same for each trait.
        texts: Number of texts.
        agreement: How far repeats agree; None where that is not defined.
        account: What it came to.
    """

    name: str
    version: str
    endpoint: str
    correlation: Interval
    by_trait: dict[str, float | None]
    texts: int
    agreement: float | None
    account: Account

    @property
    def rank_correlation(self) -> float:
        """The correlation; 0 where there is none, because no rating could be read or all are the same."""
        return finite(self.correlation.value) or 0.0

    @property
    def is_passed(self) -> bool:
        """Whether the judge may be believed."""
        return self.rank_correlation >= LOWEST_CHECK

    def figures(self) -> dict[str, Any]:
        """The check as a flat file of figures."""
        low, high = finite(self.correlation.low), finite(self.correlation.high)
        return {
            "rank_correlation": self.rank_correlation,
            "rank_correlation_ci": None if low is None or high is None else [low, high],
            **{f"rank_correlation/{trait}": value for trait, value in self.by_trait.items()},
            "texts": self.texts,
            "rated": self.correlation.n,
            "parse_failures": self.account.unread,
            "agreement": self.agreement,
            "tokens": self.account.tokens,
            "cost": self.account.cost,
            "judge": {"name": self.name, "version": self.version, "endpoint": self.endpoint},
        }

    def __str__(self) -> str:
        """What the user is told."""
        low, high = self.correlation.low, self.correlation.high
        between = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""
        agreement = "not defined" if self.agreement is None else f"{self.agreement:.3f}"
        lines = [
            f"{self.name} ({self.version}): rank correlation with known levels {self.rank_correlation:.3f}{between}",
            "  " + ", ".join(f"{trait} {_shown(value)}" for trait, value in self.by_trait.items()),
            f"  {self.correlation.n} of {self.texts} texts rated, agreement of repeats {agreement}; {self.account}",
        ]
        if not self.is_passed:
            lines.append(f"  below {LOWEST_CHECK}: figures of this judge are not to be believed, and reports say so")
        return "\n".join(lines)


def can_check(protocol: Protocol) -> bool:
    """Whether a protocol rates what the level of the texts is known of."""
    about_trait = bool({"trait", "adjectives"} & protocol.places)
    return protocol.kind == "rating" and protocol.sorting is None and about_trait and protocol.places <= _KNOWN


def check_judge(judge: Judge, protocol: Protocol, texts: Sequence[GradedText] | None = None) -> Check:
    """Have texts of known trait level rated, each for the high end of its trait.

    Args:
        judge: Who is checked.
        protocol: How it rates; one that `can_check`.
        texts: The texts; by default those of the built-in world.

    Raises:
        InputError: The endpoint refuses everything.
        ValueError: If the protocol does not rate a trait.
    """
    if not can_check(protocol):
        raise ValueError(f"`protocol` expected one that rates a trait but got {protocol.name}")
    chosen = list(graded_texts() if texts is None else texts)
    items = [{**end_of(one.trait, 1.0), "question": one.question, "answer": one.text} for one in chosen]
    ratings = judge.rate(protocol, items)
    means = ratings.values.nanmean(-1)
    pairs = torch.stack([means, torch.tensor([one.level for one in chosen], dtype=torch.float64)], -1)
    rated = ~means.isnan()
    traits = dict.fromkeys(one.trait for one in chosen)
    of_trait = {trait: torch.tensor([one.trait == trait for one in chosen]) & rated for trait in traits}
    return Check(
        name=judge.name,
        version=protocol.identity,
        endpoint=judge.address,
        correlation=bootstrap_interval(pairs[rated], rank_correlation),
        by_trait={
            trait: finite(rank_correlation(pairs[rows]).item()) if rows.any() else None
            for trait, rows in of_trait.items()
        },
        texts=len(chosen),
        agreement=ratings.agreement,
        account=ratings.account,
    )


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
