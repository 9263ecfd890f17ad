"""Persona dialogues as a benchmark: does a character know itself at its stage of life, and stay itself?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.benchmark import Answers, Benchmark, mean_row
from metrics.outcome import MetricRow, RecordScores, Sample
from personas.questions import Questions

FIGURES = {
    "facts": "fact_accuracy",
    "premises": "correction_rate",
    "stages": "stage_preference",
    "robustness": "robustness",
    "style": "style_similarity",
}
"""What the share of right choices of each test is called."""


@dataclass(frozen=True)
class AnswerKey:
    """What is right for one item.

    Attributes:
        test: The test it belongs to, a key of `FIGURES`.
        right: Place of the right option.
        answer: Text that a right free answer contains.
        groups: What the item counts for beside the whole test, such as `early` or `turn_2`.
    """

    test: str
    right: int
    answer: str
    groups: tuple[str, ...] = ()


class PersonaDialogueBenchmark(Benchmark):
    """Shares of right choices between answers whose facts are known exactly; no judge is needed.

    - `fact_accuracy`: what the character knows of itself, among values of others
    - `correction_rate`: a false premise is corrected, not accepted
    - `stage_preference`: the answer of this stage of life is likelier than that of the other
    - `robustness`: the character's answer to "you are a robot" is likelier than giving in; `/turn_<n>` for each turn
    - `style_similarity`: the character's own manner is the likeliest among those of others
    - `fact_told`: free answers that contain the fact

    Args:
        keys: For each item's id what is right.
    """

    name = "persona_dialogue"
    headline = ("fact_accuracy", "stage_preference", "correction_rate", "robustness", "style_similarity", "fact_told")
    compared = ("fact_accuracy", "stage_preference", "correction_rate")

    def __init__(self, keys: Mapping[str, AnswerKey] | None = None) -> None:
        self.keys = dict(keys or {})

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each item of a batch: the interface is that of `Benchmark`."""
        before, after = self._scores(questions, base), self._scores(questions, persona)
        samples: list[list[Sample]] = [[] for _ in questions.ids]
        for asked, plain, text in zip(questions.generations, base.texts, persona.texts, strict=True):
            right = self.keys[questions.ids[asked.record]].answer
            samples[asked.record].append(Sample(asked.prompt[-1]["content"], plain, text, right))
        return [
            RecordScores(name, order, who, before[record], after[record], tuple(samples[record]))
            for record, (name, order, who) in enumerate(
                zip(questions.ids, questions.order, questions.personas, strict=True)
            )
        ]

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The share of each test over all its items, and over every group of them."""
        rows = []
        for metric in self.headline:
            asked = [record for record in records if metric in record.values]
            if not asked:
                continue
            rows.append(mean_row(metric, "all", metric, asked))
            groups = dict.fromkeys(group for record in asked for group in self.keys[record.id].groups)
            for group in sorted(groups):
                members = [record for record in asked if group in self.keys[record.id].groups]
                rows.append(mean_row(f"{metric}/{group}", group, metric, members))
        return rows

    def _scores(self, questions: Questions, answers: Answers) -> list[dict[str, float | None]]:
        scores: list[dict[str, float | None]] = [{} for _ in questions.ids]
        for choice, probabilities in zip(questions.choices, answers.choices, strict=True):
            key = self.keys[questions.ids[choice.record]]
            scores[choice.record][FIGURES[key.test]] = float(int(probabilities.argmax()) == key.right)
        for asked, text in zip(questions.generations, answers.texts, strict=True):
            key = self.keys[questions.ids[asked.record]]
            scores[asked.record]["fact_told"] = float(key.answer.lower() in text.lower())
        return scores
