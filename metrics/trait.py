"""TRAIT as a benchmark: which of four responses, two of a high and two of a low level of a trait, is preferred?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metrics.benchmark import Answers, Benchmark, finite, mean_row
from metrics.outcome import MetricRow, RecordScores
from metrics.pooled import by_item
from metrics.trait_score import OPTIONS, trait_levels
from personas.questions import Questions

ORDERS = ("plain", "reversed")
"""Orders of the options: high 1, low 1, high 2, low 2; and low 1, high 1, low 2, high 2."""

_HIGH_IN = torch.tensor([[True, False, True, False], [False, True, False, True]])

Values = dict[str, float | None]


def part_of(layout: int, order: int) -> str:
    """What a question is for: the place of its layout among all, and that of its order."""
    return f"{layout}/{order}"


class TraitBenchmark(Benchmark):
    """Does the model prefer the responses of the level that it is asked to show?

    Figures, over items:

    - `trait_score`: share of layouts and orders of the options, in percent, in which a response of the high level is
      preferred; per trait and level asked for, as `trait_score/<trait>+` and `-`, and per trait
    - `trait_score_as_released`: share of layouts in which one is preferred by the mean probability of both orders
    - `trait_score_range`: the score under a high level minus that under a low one, so how far the trait can be moved
    - `level_followed`: share in which the preferred response is of the level asked for
    - `high_probability`: probability of the high responses among all four, the mean of both orders
    - `mass_outside`: probability that the model says something other than an option
    - `order_sensitivity`: share of layouts in which the two orders lead to different levels
    - `layout_sensitivity`: share of items whose level is not the same in all layouts
    - `trait_score_in_<layout>`: the score in each layout alone

    Args:
        layouts: Names of the layouts, in the order of their numbers.
        traits: From the name of each item to its trait.

    Reference:
        Lee et al., Do LLMs Have Distinct and Consistent Personality? TRAIT, 2024.

    Deviation:
        The release averages the probabilities of both orders before it takes the likeliest response. A model that
        follows the order of the options is then given a level by whatever little is left, the same one everywhere if
        it leans at all: 0 or 100 where it prefers neither. Here such an item counts half.
    """

    name = "trait"
    headline = ("level_followed", "trait_score_range", "trait_score", "mass_outside", "order_sensitivity")
    compared = ("level_followed",)
    by_persona = ("trait_score", "trait_score_as_released", "level_followed", "high_probability")

    def __init__(self, layouts: Sequence[str] = (), traits: Mapping[str, str] | None = None) -> None:
        self.layouts = tuple(layouts)
        self.traits = dict(traits or {})

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        before = self._figures(questions, base)
        after = before if persona is base else self._figures(questions, persona)
        return [
            RecordScores(id=name, order=order, persona=who, base=bases, values=values)
            for name, order, who, bases, values in zip(
                questions.ids, questions.order, questions.personas, before, after, strict=True
            )
        ]

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """All figures: over all items, per trait, and per trait and level asked for."""
        items = by_item(records, _item_of, "trait_score")
        metrics = list(items[0].values) if items else []
        rows = [mean_row(metric, "all", metric, items) for metric in metrics]
        for trait in dict.fromkeys(self.traits.values()):
            members = [item for item in items if self.traits[item.id] == trait]
            if not members:
                continue
            rows += [
                mean_row(f"{metric}/{trait}", trait, metric, members) for metric in ("trait_score", "trait_score_range")
            ]
            asked = [record for record in records if self.traits[_item_of(record)] == trait and record.persona.levels]
            for who in dict.fromkeys(record.persona.name for record in asked):
                of_persona = [record for record in asked if record.persona.name == who]
                rows += [mean_row(f"{metric}/{who}", who, metric, of_persona) for metric in self.by_persona]
        return rows

    def warnings(self, records: Sequence[RecordScores], method: str) -> list[str]:
        """Say so where the model hardly answers with an option at all."""
        outside = [record.values["mass_outside"] or 0.0 for record in records]
        mean = sum(outside) / len(outside) if outside else 0.0
        if mean < 0.5:
            return []
        return [
            f"{method} says something other than an option with probability {mean:.2f}: its trait scores rest on what "
            "little is left; see answer and answer_prefix"
        ]

    def _figures(self, questions: Questions, answers: Answers) -> list[Values]:
        """The figures of each record."""
        records, layouts = len(questions), len(self.layouts)
        likelihoods = torch.zeros(records, layouts, len(ORDERS), len(OPTIONS), dtype=torch.float64)
        outside = torch.zeros(records, layouts, len(ORDERS), dtype=torch.float64)
        parts = [[int(number) for number in question.part.split("/")] for question in questions.choices]
        place = (
            torch.tensor([question.record for question in questions.choices]),
            torch.tensor([layout for layout, _ in parts]),
            torch.tensor([order for _, order in parts]),
        )
        likelihoods[place] = torch.stack([probabilities.double() for probabilities in answers.choices])
        outside[place] = torch.tensor(answers.outside, dtype=torch.float64)
        levels = trait_levels(*likelihoods.flatten(0, 1).unbind(1))
        released = levels.high.double().view(records, layouts)
        probability = levels.scores[:, :2].sum(-1).view(records, layouts).mean(1)
        alone = _HIGH_IN.gather(1, likelihoods.argmax(-1).permute(2, 0, 1).flatten(1)).view(2, records, layouts)
        high = alone.double().mean(0)
        columns: dict[str, Tensor] = {
            "trait_score": 100 * high.mean(1),
            "trait_score_as_released": 100 * released.mean(1),
            "level_followed": _followed(high.mean(1), questions),
            "high_probability": probability,
            "mass_outside": outside.mean((1, 2)),
            "order_sensitivity": (alone[0] != alone[1]).double().mean(1),
            "layout_sensitivity": (released.amin(1) != released.amax(1)).double(),
        }
        columns |= {f"trait_score_in_{name}": 100 * high[:, place] for place, name in enumerate(self.layouts)}
        if layouts == 1:
            columns["layout_sensitivity"] = torch.full_like(probability, torch.nan)
        return [
            {name: finite(value) for name, value in zip(columns, row, strict=True)}
            for row in torch.stack(list(columns.values()), 1).tolist()
        ]


def _item_of(record: RecordScores) -> str:
    return record.id.partition(":")[0]


def _followed(high: Tensor, questions: Questions) -> Tensor:
    """Share of the level asked for (R,), nan where none is, from that of the high level (R,)."""
    signs = torch.tensor([sum(persona.levels.values()) for persona in questions.personas], dtype=torch.float64).sign()
    return torch.where(signs > 0, high, torch.where(signs < 0, 1 - high, torch.nan))
