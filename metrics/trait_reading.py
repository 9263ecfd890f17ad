"""Reads traits off the free answers of any benchmark, with a classifier: acc, tpei and trait_expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from metrics.benchmark import Answers, Benchmark, mean_row
from metrics.beside import BesideBenchmark, Values, rows_by_persona, with_values
from metrics.coherence import coherence
from metrics.outcome import MetricRow, RecordScores
from metrics.trait_expression import edit_index, pole_accuracy, trait_expression
from personas.persona import Persona
from personas.questions import Questions
from personas.traits import TRAIT_OF_FACET, TRAITS

PROFILE = "trait_profile"
_KEPT_TEXTS = 4096


class Classifier(Protocol):
    """What reads a text.

    Attributes:
        poles: What it tells apart.
    """

    poles: tuple[str, ...]

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Probability of each pole for each text (N, K)."""


class TraitReading(BesideBenchmark):
    """A benchmark whose free answers are also read by a classifier.

    Figures, each a mean over the records with a free answer:

    - `acc`: the wanted pole is the likeliest among those the benchmark asks for
    - `tpei`: by how much less the classifier is surprised by the wanted pole than in the base model's answer, over
      answers that are coherent before and after; `tpei_skipped` counts the others
    - `trait_expression`: probability of the wanted trait's wanted end minus that of its other end; by trait, or by
      trait and end, `trait_expression/<trait>` is p(high) - p(low), whichever end was wanted
    - `trait_profile/<trait>`: p(high) - p(low) of every trait in all answers, also where another one was wanted

    Args:
        inner: The benchmark.
        classifier: Reads the answers.
        poles: The poles that the benchmark asks for.
    """

    shown = ("acc", "tpei", "trait_expression")
    differing = ("acc", "trait_expression")

    def __init__(self, inner: Benchmark, classifier: Classifier, poles: Sequence[str]) -> None:
        super().__init__(inner)
        self.classifier = classifier
        known = classifier.poles
        self.candidates = [pole for pole in dict.fromkeys(poles) if pole in known]
        self.places = torch.tensor([known.index(pole) for pole in self.candidates], dtype=torch.long)
        self.traits = [trait for trait in TRAITS if f"{trait}+" in known and f"{trait}-" in known]
        self.ends = [
            torch.tensor([known.index(f"{trait}{end}") for trait in self.traits], dtype=torch.long) for end in "+-"
        ]
        self._read: dict[tuple[str, ...], dict[str, Tensor]] = {}

    def own_metrics(self) -> frozenset[str]:
        """All figures read off texts."""
        return frozenset((*self.shown, *(f"{PROFILE}/{trait}" for trait in self.traits)))

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        scores = super().measure(questions, base, persona)
        before = self._classify([one.base for record in scores for one in record.samples])
        after = self._classify([one.persona for record in scores for one in record.samples])
        return [
            with_values(
                record,
                self._values(record.persona, [(one.base, one.base) for one in record.samples], before, before),
                self._values(record.persona, [(one.base, one.persona) for one in record.samples], before, after),
            )
            for record in scores
        ]

    def own_rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The figures over all records, and those of each persona; none where nobody has said anything."""
        if not any(record.samples for record in records):
            return []
        rows: list[MetricRow] = []
        if len(self.candidates) > 1:
            for metric in ("acc", "tpei"):
                rows += [mean_row(metric, "all", metric, records), *rows_by_persona(metric, records)]
            skipped = [record for record in records if record.values.get("acc") is not None]
            count = sum(record.values.get("tpei") is None for record in skipped)
            rows.append(MetricRow("tpei_skipped", "all", float(count), None, None, len(skipped), None))
        if self.traits:
            rows.append(mean_row("trait_expression", "all", "trait_expression", records))
        for trait in self.traits:
            metric = f"{PROFILE}/{trait}"
            wanted = [record for record in records if record.persona.main_trait == trait]
            rows += rows_by_persona(metric, wanted, "trait_expression")
            rows.append(mean_row(metric, "all", metric, records))
        return rows

    def _classify(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        """Read texts; the base model's of a batch come once for every method.

        What is read together is the same in every run, for the last digits depend on it: an evaluation that goes on
        where it was killed must not read only what it has not met yet.
        """
        together = tuple(dict.fromkeys(texts))
        if together not in self._read:
            if sum(map(len, self._read)) > _KEPT_TEXTS:
                self._read.clear()
            read = self.classifier.probabilities(together) if together else ()
            self._read[together] = dict(zip(together, read, strict=True))
        return self._read[together]

    def _values(
        self,
        persona: Persona,
        texts: Sequence[tuple[str, str]],
        read_before: Mapping[str, Tensor],
        read_after: Mapping[str, Tensor],
    ) -> Values:
        """The figures of one record, from its answers of the base model and under the method."""
        values: Values = dict.fromkeys(sorted(self.own_metrics()))
        if not texts:
            return values
        before = torch.stack([read_before[text] for text, _ in texts])
        after = torch.stack([read_after[text] for _, text in texts])
        profile = trait_expression(after, *self.ends).mean(0).tolist()
        values |= {f"{PROFILE}/{trait}": value for trait, value in zip(self.traits, profile, strict=True)}
        trait, level = wanted_end(persona)
        if trait in self.traits:
            values["trait_expression"] = profile[self.traits.index(trait)] * (1 if level > 0 else -1)
        pole = f"{trait}{'+' if level > 0 else '-'}"
        if pole in self.candidates and len(self.candidates) > 1:
            wanted = torch.full((len(texts),), self.candidates.index(pole))
            values["acc"] = pole_accuracy(after, self.places, wanted).mean().item()
            coherent = coherence([pair[0] for pair in texts], [pair[1] for pair in texts])[:, 0].bool()
            index = edit_index(before, after, self.places, wanted)[coherent]
            values["tpei"] = index.mean().item() if len(index) else None
        return values


def wanted_end(persona: Persona) -> tuple[str, float]:
    """The one trait that a persona is about and the level wanted; an empty name and 0 where there is not exactly one.

    Example:
        >>> wanted_end(Persona.trait("trust", -0.5)), wanted_end(Persona("nobody"))
        (('agreeableness', -0.5), ('', 0.0))
    """
    levels = {TRAIT_OF_FACET.get(name, name): level for name, level in persona.levels.items() if level}
    return next(iter(levels.items())) if len(levels) == 1 else ("", 0.0)


def wanted_poles(personas: Sequence[Persona]) -> list[str]:
    """The poles that personas of one trait each ask for, each once.

    Example:
        >>> wanted_poles([Persona.trait("openness"), Persona.trait("openness", -1.0), Persona("nobody")])
        ['openness+', 'openness-']
    """
    ends = [wanted_end(persona) for persona in personas]
    return list(dict.fromkeys(f"{trait}{'+' if level > 0 else '-'}" for trait, level in ends if trait))
