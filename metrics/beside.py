"""What is measured beside a benchmark, whatever the benchmark: figures of its own from the same answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from metrics.benchmark import Answers, Benchmark, mean_row
from metrics.outcome import MetricRow, RecordScores
from personas.questions import Questions

Values = dict[str, float | None]


class BesideBenchmark(Benchmark):
    """A benchmark with further figures: it passes everything on to the one inside and adds to what comes back.

    The figures inside see nothing of those outside, so a benchmark is the same with and without them.

    Args:
        inner: The benchmark inside.

    Attributes:
        shown: Names of the added figures that belong to the headline.
        differing: Names of the added figures whose paired differences between methods are reported.
    """

    shown: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    def __init__(self, inner: Benchmark) -> None:
        self.inner = inner
        self.name = inner.name
        self.headline = (*inner.headline, *self.shown)
        self.compared = (*inner.compared, *self.differing)

    @abstractmethod
    def own_metrics(self) -> frozenset[str]:
        """Names of all added figures in the scores of a record."""

    @abstractmethod
    def own_rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The added figures over all records."""

    def asked(self, questions: Questions) -> Questions:
        """The questions of a batch, with those that this one adds."""
        return self.inner.asked(questions) if isinstance(self.inner, BesideBenchmark) else questions

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        return self.inner.measure(questions, base, persona)

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The figures of the benchmark inside, then the added ones."""
        return [*self.inner.rows(self._without_own(records)), *self.own_rows(records)]

    def warnings(self, records: Sequence[RecordScores], method: str) -> list[str]:
        """What the benchmark inside has to say."""
        return self.inner.warnings(self._without_own(records), method)

    def _without_own(self, records: Sequence[RecordScores]) -> list[RecordScores]:
        own = self.own_metrics()
        return [
            replace(record, base=_without(record.base, own), values=_without(record.values, own)) for record in records
        ]


def with_values(record: RecordScores, base: Values, values: Values) -> RecordScores:
    """A record with further scores."""
    return replace(record, base={**record.base, **base}, values={**record.values, **values})


def rows_by_persona(metric: str, records: Sequence[RecordScores], name: str | None = None) -> list[MetricRow]:
    """A mean row of a metric for every trait that records ask for, or for either end of it where both are asked for.

    Args:
        metric: The metric in the records.
        records: All records.
        name: What the rows call the figure; by default the metric's own name.

    Returns:
        Rows `<name>/<trait>`, or `<name>/<trait>+` and `<name>/<trait>-`.
    """
    groups: dict[tuple[str, str], list[RecordScores]] = {}
    for record in records:
        if record.persona.main_trait is not None:
            groups.setdefault((record.persona.main_trait, record.persona.name), []).append(record)
    ends = [trait for trait, _ in groups]
    rows = []
    for (trait, persona), members in sorted(groups.items()):
        label = trait if ends.count(trait) == 1 else persona
        rows.append(mean_row(f"{name or metric}/{label}", persona, metric, members))
    return rows


def _without(values: Values, own: frozenset[str]) -> Values:
    return {name: value for name, value in values.items() if name not in own}
