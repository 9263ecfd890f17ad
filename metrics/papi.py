"""PAPI as a benchmark: does the model answer a questionnaire as a given person did?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metrics.answer_letters import parse_letter
from metrics.benchmark import Answers, Benchmark, finite, mean_row
from metrics.bootstrap import Statistic, bootstrap_interval
from metrics.likert import POINTS, LikertParts, keyed, letter_scores, likert_alignment
from metrics.outcome import MetricRow, RecordScores
from metrics.reliability import cronbach_alpha, pearson
from personas.questionnaire import Participant, Questionnaire
from personas.questions import Questions
from personas.traits import BIG_FIVE

LETTERS = tuple(POINTS)
ONE_LETTER = 0.05
"""Entropy in bits below which a person's answers count as all the same: one other letter among 180 has 0.05."""

Values = dict[str, float | None]


class PapiBenchmark(Benchmark):
    """How far a model's answers to a questionnaire lie from those of the person it is to speak as.

    Figures over people:

    - `alignment_error`: mean distance of raw answers per trait, summed over the traits; `_as_released` takes a missing
      answer of the person for 0; `_keyed` is the distance of trait scores (means of keyed answers) instead
    - `trait_mean`, `trait_std` of the model's keyed answers; `trait_correlation` of the model's trait scores with the
      people's; `cronbach_alpha` of the model's answers, people being the cases
    - `answer_entropy` in bits: 0 where all items get one letter, 2.3 where all five are used alike; `one_letter`: share
      of people with one letter; `answer_count` of each letter; `parse_failures`, answers that choose no option
    - `mass_outside`: probability that the model says something other than an option

    Args:
        questionnaire: The items.
        people: The people whose answers are known.
        prefix: What stands before a generated answer; part of what is parsed.
        as_released: Parse generated answers as the published code does.
    """

    name = "papi"
    headline = ("alignment_error", "trait_correlation", "cronbach_alpha", "answer_entropy")
    compared = ("alignment_error",)

    def __init__(
        self,
        questionnaire: Questionnaire | None = None,
        people: Sequence[Participant] = (),
        prefix: str = "",
        as_released: bool = False,
    ) -> None:
        self.items = questionnaire.scored if questionnaire is not None else ()
        self.prefix = prefix
        self.as_released = as_released
        self.answers = {person.case: person.scored(questionnaire) for person in people} if questionnaire else {}
        self.place = {str(item.number): place for place, item in enumerate(self.items)}
        self.keys = torch.tensor([item.key for item in self.items], dtype=torch.long)
        self.traits = torch.tensor([BIG_FIVE.index(item.trait) for item in self.items], dtype=torch.long)

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each person of a batch: the interface is that of `Benchmark`."""
        before = self._figures(questions, base)
        after = before if persona is base else self._figures(questions, persona)
        return [
            RecordScores(id=name, order=order, persona=who, base=bases, values=values)
            for name, order, who, bases, values in zip(
                questions.ids, questions.order, questions.personas, before, after, strict=True
            )
        ]

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """All figures over people."""
        rows = []
        for metric in ("alignment_error", "alignment_error_as_released", "alignment_error_keyed"):
            rows.append(mean_row(metric, "all", metric, records))
            rows += [self._trait_row(metric, trait, records) for trait in BIG_FIVE]
        for metric in ("trait_mean", "trait_std"):
            rows += [self._trait_row(metric, trait, records) for trait in BIG_FIVE]
        pairs = {trait: [f"trait_mean/{trait}", f"person_mean/{trait}"] for trait in BIG_FIVE}
        rows += scale_rows("trait_correlation", records, pairs, dict.fromkeys(BIG_FIVE, _correlation))
        items = {trait: self._items_of(number) for number, trait in enumerate(BIG_FIVE)}
        metrics = {trait: [f"item/{self.items[place].number}" for place in places] for trait, places in items.items()}
        alphas = {trait: _alpha(self.keys[places]) for trait, places in items.items()}
        rows += scale_rows("cronbach_alpha", records, metrics, alphas)
        rows += [
            mean_row(metric, "all", metric, records) for metric in ("answer_entropy", "one_letter", "mass_outside")
        ]
        rows += [_sum_row(f"answer_count/{letter}", records) for letter in LETTERS]
        return [*rows, _sum_row("parse_failures", records)]

    def warnings(self, records: Sequence[RecordScores], method: str) -> list[str]:
        """Say so where a method makes the model answer everything with one letter."""
        same = [record for record in records if record.values.get("one_letter")]
        if not same:
            return []
        letters = Counter(max(LETTERS, key=lambda one: record.values[f"answer_count/{one}"] or 0) for record in same)
        shown = ", ".join(f"{letter} for {count}" for letter, count in letters.most_common())
        return [
            f"{method} answers (almost) every item with the same letter for {len(same)} of {len(records)} people "
            f"({shown}): its alignment error says nothing about personality; see answer_entropy"
        ]

    def _figures(self, questions: Questions, answers: Answers) -> list[Values]:
        """The figures of each person."""
        scores, outside = self._scores(questions, answers)
        values = torch.tensor([list(self.answers[case]) for case in questions.ids], dtype=torch.float64)
        people, items = scores.shape
        person = torch.arange(people).repeat_interleave(items)
        parts, released = (
            likert_alignment(
                scores.flatten(), values.flatten(), self.keys.repeat(people), self.traits.repeat(people), person,
                num_persons=people, as_released=as_released,
            )
            for as_released in (False, True)
        )  # fmt: skip
        return [
            self._person(scores[row], values[row], parts, released, row) | {"mass_outside": finite(outside[row].item())}
            for row in range(people)
        ]

    def _scores(self, questions: Questions, answers: Answers) -> tuple[Tensor, Tensor]:
        """The score of every item (P, I), nan where no option was chosen, and the mass outside of the options (P,)."""
        scores = torch.full((len(questions), len(self.items)), torch.nan, dtype=torch.float64)
        outside = torch.full_like(scores, torch.nan)
        for choice, probabilities, rest in zip(questions.choices, answers.choices, answers.outside, strict=True):
            place = choice.record, self.place[choice.part]
            scores[place] = len(LETTERS) - int(probabilities.argmax())
            outside[place] = rest
        asked = [(question.record, self.place[question.part]) for question in questions.generations]
        letters = [parse_letter(self.prefix + text, self.as_released) for text in answers.texts]
        for place, score in zip(asked, letter_scores(letters), strict=True):
            scores[place] = score
        return scores, outside.mean(-1)

    def _person(self, scores: Tensor, values: Tensor, parts: LikertParts, released: LikertParts, row: int) -> Values:
        figures: Values = {"alignment_error": finite(parts.alignment_error[row].item())}
        figures["alignment_error_as_released"] = finite(released.alignment_error[row].item())
        actual = keyed(values, self.keys).masked_fill(values == 0, torch.nan)
        gaps = []
        for number, trait in enumerate(BIG_FIVE):
            wanted = actual[self.traits == number].nanmean().item()
            mean = parts.mean[row, number].item()
            gaps.append(abs(mean - wanted))
            figures |= {
                f"alignment_error/{trait}": finite(parts.mean_abs_error[row, number].item()),
                f"alignment_error_as_released/{trait}": finite(released.mean_abs_error[row, number].item()),
                f"alignment_error_keyed/{trait}": finite(gaps[-1]),
                f"trait_mean/{trait}": finite(mean),
                f"trait_std/{trait}": finite(parts.std[row, number].item()),
                f"person_mean/{trait}": finite(wanted),
            }
        figures["alignment_error_keyed"] = finite(math.fsum(gaps))
        counts = [int((scores == POINTS[letter]).sum()) for letter in LETTERS]
        entropy = entropy_bits(counts)
        figures |= {f"answer_count/{letter}": float(count) for letter, count in zip(LETTERS, counts, strict=True)}
        figures |= {
            "answer_entropy": entropy,
            "one_letter": None if entropy is None else float(entropy < ONE_LETTER),
            "parse_failures": float(torch.isnan(scores).sum()),
        }
        return figures | {
            f"item/{item.number}": finite(score) for item, score in zip(self.items, scores.tolist(), strict=True)
        }

    def _items_of(self, trait: int) -> list[int]:
        return (self.traits == trait).nonzero().squeeze(1).tolist()

    def _trait_row(self, metric: str, trait: str, records: Sequence[RecordScores]) -> MetricRow:
        return mean_row(f"{metric}/{trait}", trait, f"{metric}/{trait}", records)


def entropy_bits(counts: Sequence[int]) -> float | None:
    """Entropy of how often each letter was chosen, in bits; None without any.

    Example:
        >>> entropy_bits([2, 2, 0, 0, 0]), entropy_bits([7, 0, 0, 0, 0]), entropy_bits([0, 0, 0, 0, 0])
        (1.0, 0.0, None)
    """
    total = sum(counts)
    if total == 0:
        return None
    return math.fsum(count / total * math.log2(total / count) for count in counts if count)


def scale_rows(
    metric: str,
    records: Sequence[RecordScores],
    columns: Mapping[str, Sequence[str]],
    statistics: Mapping[str, Statistic],
) -> list[MetricRow]:
    """Rows of a statistic that takes all people together: the mean over the traits, then each trait.

    Args:
        metric: Name of the figure.
        records: The people; those who lack one of a trait's columns are left out of it.
        columns: For each trait the names of the per-person figures that its statistic takes.
        statistics: For each trait the function from samples (S, P, Q) of these figures to the statistic (S,).

    Returns:
        The rows, with intervals over people.
    """
    widths = [len(names) for names in columns.values()]

    def mean(sample: Tensor) -> Tensor:
        parts = zip(columns, sample.split(widths, -1), strict=True)
        return torch.stack([statistics[trait](part) for trait, part in parts], -1).nanmean(-1)

    everything = [name for names in columns.values() for name in names]
    rows = [_scale_row(metric, "all", records, everything, mean)]
    return rows + [
        _scale_row(f"{metric}/{trait}", trait, records, names, statistics[trait]) for trait, names in columns.items()
    ]


def _scale_row(
    name: str, persona: str, records: Sequence[RecordScores], columns: Sequence[str], statistic: Statistic
) -> MetricRow:
    values = _complete([record.values for record in records], columns)
    bases = _complete([record.base for record in records], columns)
    interval = bootstrap_interval(values, statistic)
    base = statistic(bases[None])[0].item() if len(bases) else math.nan
    return MetricRow(
        metric=name,
        persona=persona,
        value=finite(interval.value),
        ci_low=finite(interval.low),
        ci_high=finite(interval.high),
        n=interval.n,
        base_value=finite(base),
        undefined=len(records) - interval.n,
    )


def _complete(sides: Sequence[Values], columns: Sequence[str]) -> Tensor:
    """The named figures (P, Q) of the people who have all of them."""
    rows = [[side.get(name) for name in columns] for side in sides]
    whole = [[value for value in row if value is not None] for row in rows if None not in row]
    return torch.tensor(whole, dtype=torch.float64).reshape(len(whole), len(columns))


def _correlation(sample: Tensor) -> Tensor:
    return pearson(sample[..., 0], sample[..., 1])


def _alpha(keys: Tensor) -> Statistic:
    """Cronbach's alpha of raw answers to items with these keys; nan for fewer than two items or people."""

    def statistic(sample: Tensor) -> Tensor:
        if min(sample.shape[-2:]) < 2:
            return sample.new_full(sample.shape[:-2], torch.nan)
        return cronbach_alpha(torch.where(keys < 0, 6 - sample, sample))

    return statistic


def _sum_row(metric: str, records: Sequence[RecordScores]) -> MetricRow:
    """A count over all people."""
    value = math.fsum(record.values[metric] or 0.0 for record in records)
    base = math.fsum(record.base[metric] or 0.0 for record in records)
    return MetricRow(metric, "all", value, None, None, len(records), base)
