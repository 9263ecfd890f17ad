"""What a benchmark knows that an evaluation does not: how answers become figures, and figures rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.bootstrap import bootstrap_interval
from metrics.outcome import MetricRow, RecordScores
from personas.questions import Questions


@dataclass
class Answers:
    """One model's answers to the questions of a batch, in the order of the questions.

    Attributes:
        log_probs: For each likelihood the log-probability of every answer token, given what comes before it (n,).
        own_position: The same with each token looked up where it was already read, as some releases do (n,).
        divergence: KL(base || this model) after every answer token (n,), empty where it was not asked for.
        choices: For each choice the probability of every option (K,), all options together 1.
        outside: For each choice the probability of everything that is none of the options.
        texts: For each generation the text.
    """

    log_probs: list[Tensor]
    own_position: list[Tensor]
    divergence: list[Tensor]
    choices: list[Tensor]
    outside: list[float]
    texts: list[str]


class Benchmark(ABC):
    """A benchmark: its name and its figures. A data module of it yields the questions.

    Attributes:
        name: As results call it.
        headline: Names of the figures to show first.
        compared: Names of the figures whose paired differences between methods are reported; means over records.
    """

    name: str
    headline: tuple[str, ...]
    compared: tuple[str, ...] = ()

    @abstractmethod
    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch.

        Args:
            questions: What was asked.
            base: The base model's answers.
            persona: The answers under the method.

        Returns:
            The scores, in the order of `questions.ids`, every metric in every record.
        """

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """Turn the scores of all records into figures: means over records, over all of them and for each trait.

        Override it for figures that are no means over records.

        Args:
            records: Scores of the whole data set, in its order.

        Returns:
            For each metric one row with persona `all`, then one per trait if there are several.
        """
        metrics = list(dict.fromkeys(metric for record in records for metric in record.values))
        groups: dict[tuple[str, str], list[RecordScores]] = {}
        for record in records:
            if record.persona.main_trait is not None:
                groups.setdefault((record.persona.main_trait, record.persona.name), []).append(record)
        rows = [mean_row(metric, "all", metric, records) for metric in metrics]
        levels = {trait: sum(name == trait for name, _ in groups) for trait, _ in groups}
        for metric in metrics:
            for (trait, persona), members in sorted(groups.items()):
                label = trait if levels[trait] == 1 else persona
                rows.append(mean_row(f"{metric}/{label}", persona, metric, members))
        return rows

    def warnings(self, records: Sequence[RecordScores], method: str) -> list[str]:  # noqa: ARG002
        """What a reader of a method's figures must know; nothing unless a benchmark says so.

        Args:
            records: Scores of the whole data set.
            method: Whose they are.

        Returns:
            A sentence for each.
        """
        return []


def mean_row(name: str, persona: str, metric: str, records: Sequence[RecordScores]) -> MetricRow:
    """The mean of one metric over records, with its interval; records without a value are counted, not averaged.

    Args:
        name: What the row calls the figure.
        persona: What the row calls the records.
        metric: The metric in the records.
        records: The records.

    Returns:
        The row; its base value is over the same records.

    Example:
        >>> from personas.persona import Persona
        >>> person = Persona.trait("trust")
        >>> scores = [RecordScores(str(k), k, person, {"m": 0.0}, {"m": k / 2}) for k in range(3)]
        >>> scores.append(RecordScores("3", 3, person, {"m": None}, {"m": None}))
        >>> row = mean_row("m", "all", "m", scores)
        >>> row.value, row.base_value, row.n, row.undefined
        (0.5, 0.0, 3, 1)
    """
    pairs = [(record.base.get(metric), record.values.get(metric)) for record in records]
    values = [value for _, value in pairs if value is not None]
    bases = [base for base, value in pairs if value is not None and base is not None]
    interval = bootstrap_interval(torch.tensor(values, dtype=torch.float64))
    return MetricRow(
        metric=name,
        persona=persona,
        value=finite(interval.value),
        ci_low=finite(interval.low),
        ci_high=finite(interval.high),
        n=len(values),
        base_value=math.fsum(bases) / len(bases) if bases else None,
        undefined=len(pairs) - len(values),
    )


def finite(value: float) -> float | None:
    """The number, or None for nan and the infinities, which stand for "no value" here and which JSON has no word for.

    Example:
        >>> finite(0.5), finite(float("nan"))
        (0.5, None)
    """
    return value if math.isfinite(value) else None
