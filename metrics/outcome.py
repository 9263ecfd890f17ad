"""What an evaluation yields: figures and texts per record, rows over records, and the whole outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from personas.persona import Persona


@dataclass(frozen=True)
class Sample:
    """One free answer, before and after.

    Attributes:
        prompt: What was asked: the last user turn.
        base: The base model's answer.
        persona: The answer under the method.
        reference: What is known to be right, for judges; empty where nothing is.
    """

    prompt: str
    base: str
    persona: str
    reference: str = ""


@dataclass(frozen=True)
class RecordScores:
    """Everything measured on one record.

    Attributes:
        id: Name of the record, unique in its data set.
        order: Position of the record in its data set.
        persona: The persona wanted.
        base: Metric to the base model's figure; None where it has no value.
        values: Metric to the figure under the method; None where it has no value.
        samples: Free answers.
    """

    id: str
    order: int
    persona: Persona
    base: dict[str, float | None]
    values: dict[str, float | None]
    samples: tuple[Sample, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON objects, from which `from_json` makes an equal one.

        Example:
            >>> scores = RecordScores("tea", 0, Persona.trait("trust"), {"drawdown": 0.0}, {"drawdown": 0.25})
            >>> RecordScores.from_json(scores.to_json()) == scores
            True
        """
        return {
            "id": self.id,
            "order": self.order,
            "persona": {"name": self.persona.name, "levels": dict(self.persona.levels)},
            "base": self.base,
            "values": self.values,
            "samples": [asdict(sample) for sample in self.samples],
        }

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> RecordScores:
        """Read what `to_json` wrote.

        Raises:
            KeyError: If a part is missing.
        """
        return cls(
            id=entry["id"],
            order=entry["order"],
            persona=Persona(entry["persona"]["name"], entry["persona"]["levels"]),
            base=entry["base"],
            values=entry["values"],
            samples=tuple(Sample(**sample) for sample in entry["samples"]),
        )


@dataclass(frozen=True)
class MetricRow:
    """One figure over many records.

    Attributes:
        metric: Its name; `<metric>/<trait>` for a part of the records.
        persona: Whose records: a persona's name, or `all`.
        value: The figure under the method; None if no record has one.
        ci_low: Lower end of its interval.
        ci_high: Upper end of its interval.
        n: Number of records it is taken over.
        base_value: The base model's figure over the same records.
        undefined: Number of further records for which there is no such figure.
    """

    metric: str
    persona: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    base_value: float | None
    undefined: int = 0


@dataclass(frozen=True)
class Outcome:
    """A finished evaluation.

    Attributes:
        benchmark: What was asked.
        method: How the model was changed.
        model: Name of the language model.
        rows: The figures.
        headline: Names of the figures to show first, in their order.
        records: What the figures are taken from, in the order of the data set.
        data_files: The files the questions came from.
        seed: Seed of the run.
        seconds: Time spent on the questions, over all runs that took part.
        peak_memory_mb: Largest memory held, of the accelerator where there is one.
        warnings: What a reader of the figures must know.
    """

    benchmark: str
    method: str
    model: str
    rows: tuple[MetricRow, ...]
    headline: tuple[str, ...]
    records: tuple[RecordScores, ...]
    data_files: tuple[str, ...] = ()
    seed: int | None = None
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    warnings: tuple[str, ...] = ()

    def headline_rows(self) -> list[MetricRow]:
        """The rows to show first: each headline figure over all records, in the order of `headline`."""
        plain = {row.metric: row for row in self.rows if row.persona == "all"}
        return [plain[name] for name in self.headline if name in plain]
