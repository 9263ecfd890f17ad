"""PersonalityBench as a benchmark: free answers to questions that call up a trait, asked of both of its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metrics.benchmark import Answers, Benchmark, mean_row
from metrics.coherence import coherence
from metrics.outcome import MetricRow, RecordScores, Sample
from metrics.pooled import by_item
from personas.questions import Questions

METRICS = ("coherent_rate", "entropy", "words", "changed_rate")


class PersonalityBenchBenchmark(Benchmark):
    """What does the model say, and does it still read well?

    The answers are kept with the scores: who speaks in them is told by a classifier or a judge. Figures, over
    questions, and per trait and level asked for:

    - `coherent_rate`: share of answers with enough entropy before and after, `entropy` that of the answer
    - `words`: length of the answer
    - `changed_rate`: share of answers that are not the base model's, word for word

    Args:
        traits: From the name of each question to the trait that it calls up.
    """

    name = "personality_bench"
    headline = ("coherent_rate", "entropy", "words", "changed_rate")

    def __init__(self, traits: Mapping[str, str] | None = None) -> None:
        self.traits = dict(traits or {})

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        after = coherence(base.texts, persona.texts).tolist()
        before = coherence(base.texts, base.texts).tolist()
        scores = []
        for row, question in enumerate(questions.generations):
            sample = Sample(question.prompt[-1]["content"], base.texts[row], persona.texts[row])
            scores.append(
                RecordScores(
                    id=questions.ids[question.record],
                    order=questions.order[question.record],
                    persona=questions.personas[question.record],
                    base=_values(before[row], sample.base, sample.base),
                    values=_values(after[row], sample.base, sample.persona),
                    samples=(sample,),
                )
            )
        return scores

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """All figures: over all questions, per trait, and per trait and level asked for."""
        questions = by_item(records, _question_of)
        rows = [mean_row(metric, "all", metric, questions) for metric in METRICS]
        for trait in dict.fromkeys(self.traits[question.id] for question in questions):
            members = [question for question in questions if self.traits[question.id] == trait]
            rows += [mean_row(f"{metric}/{trait}", trait, metric, members) for metric in METRICS]
        for who in dict.fromkeys(record.persona for record in records if record.persona.levels):
            of_persona = [record for record in records if record.persona == who]
            rows += [mean_row(f"{metric}/{who.name}", who.name, metric, of_persona) for metric in METRICS]
        return rows


def _question_of(record: RecordScores) -> str:
    return record.id.rpartition(":")[0]


def _values(coherent: Sequence[float], before: str, after: str) -> dict[str, float | None]:
    """The figures of one answer: whether it and the one before read well, its entropy, its length, its difference."""
    return {
        "coherent_rate": coherent[0],
        "entropy": coherent[2],
        "words": float(len(after.split())),
        "changed_rate": float(before != after),
    }
