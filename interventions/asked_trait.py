"""Steering each question of a questionnaire along the trait that it measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interventions.applied import Intervention
from lm.passes import ForwardRows
from personas.questions import Question


@dataclass(frozen=True)
class AskedTrait:
    """An intervention with T + 1 rows for each record: one for each trait, and one of all together.

    Attributes:
        intervention: Row r (T + 1) + t steers record r along trait t, row r (T + 1) + T along all.
        traits: Number of traits T.
        trait_of: From the part of a question to the trait that it measures; others are steered along all.
        together: The same with a row per record, along all traits.
    """

    intervention: Intervention
    traits: int
    trait_of: Mapping[str, int]
    together: Intervention

    def row_of(self, question: Question) -> int:
        """The row that steers a question."""
        return question.record * (self.traits + 1) + self.trait_of.get(question.part, self.traits)

    def for_pass(self, rows: ForwardRows) -> Intervention:
        """The intervention for a pass whose rows are those of `row_of`."""
        return self.intervention.for_pass(rows)


def by_asked_trait(
    heads: Tensor, vectors: Tensor, trait_of: Mapping[str, int], shift: Callable[[Tensor, Tensor], Intervention]
) -> AskedTrait:
    """Shifts of heads along the trait that a question measures.

    Args:
        heads: (P, T, k, 2) layer and head.
        vectors: (P, T, k, head_dim) for each trait.
        trait_of: As in `AskedTrait`.
        shift: Makes an intervention of heads (R, m, 2) and vectors (R, m, head_dim).
    """
    people, traits = heads.shape[:2]
    # Every row names the heads of all traits; those of other traits than its own are left where they are.
    own = torch.cat([torch.eye(traits), torch.ones(1, traits)]).to(vectors)
    rows = (vectors.unsqueeze(1) * own.view(1, traits + 1, traits, 1, 1)).flatten(2, 3).flatten(0, 1)
    places = heads.flatten(1, 2).repeat_interleave(traits + 1, dim=0)
    together = shift(heads.flatten(1, 2), vectors.flatten(1, 2))
    return AskedTrait(shift(places, rows), traits, trait_of, together)


def row_of(intervention: object, question: Question) -> int:
    """The row of an intervention that steers a question: that of its record, if nothing else is said."""
    return intervention.row_of(question) if isinstance(intervention, AskedTrait) else question.record


def together(intervention: Any) -> Any:
    """An intervention as it is, or the one with a row per record where it has more."""
    return intervention.together if isinstance(intervention, AskedTrait) else intervention
