"""How strongly to steer each person: answers to items at every strength, compared with the person's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.applied import Intervention, applied
from interventions.calls import Positions
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.places import Places
from lightning_modules.pas_fit import HeadShifts, item_folds
from lightning_modules.pas_options import Prompt
from lm.chat import Chat
from lm.passes import Steering
from lm.scoring import choose
from personas.people import PeopleBatch
from personas.questionnaire import MISSING, Item
from personas.traits import BIG_FIVE
from personas.wording import OPTION_LETTERS, Wording, described_by


@dataclass(frozen=True)
class Trial:
    """What is tried: items with known answers, under shifts that were learnt without them.

    Attributes:
        items: I items.
        answers: (P, I) of each person, 0 for a missing one.
        folds: (I,) of each item; an item is answered under the shifts of its own fold, which were learnt from others.
        shifts: For each fold the shifts of all people; a person has T rows one after the other, whose sum steers.
        descriptions: For each fold what describes each person in the prompt; none for prompts without a description.
    """

    items: Sequence[Item]
    answers: Tensor
    folds: Tensor
    shifts: Sequence[HeadShifts]
    descriptions: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class Prober:
    """Asks a model under shifts of its heads.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its heads.
        wording: The words around the items.
        rows: Questions answered in one forward pass.
        positions: Which tokens are steered.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    places: Places
    wording: Wording
    rows: int
    positions: Positions = "all"

    def probabilities(self, trial: Trial, strengths: Sequence[float], separately: bool = False) -> Tensor:
        """The model's shares of the five options (P, S, I, 5), from very accurate on, at every strength.

        Args:
            trial: The items and who is asked.
            strengths: S of them.
            separately: Steer each item along its own trait's row alone, not along the sum of a person's rows.
        """
        if trial.descriptions is not None and self.positions == "last":
            # The long prompts are computed once for all strengths, the one that leaves the model as it is among them.
            return self._shares(trial, strengths, separately)
        shares = torch.empty(len(trial.answers), len(strengths), len(trial.items), len(OPTION_LETTERS))
        steered = [place for place, strength in enumerate(strengths) if strength]
        resting = [place for place, strength in enumerate(strengths) if not strength]
        if steered:
            shares[:, steered] = self._shares(trial, [strengths[place] for place in steered], separately)
        if resting:
            shares[:, resting] = self._shares(trial, [0.0], separately)
        return shares

    def prompts(self, trial: Trial) -> list[list[Chat]]:
        """For each person the prompt of each item."""
        asked = [self.wording.ask(item) for item in trial.items]
        if trial.descriptions is None:
            return [asked] * len(trial.answers)
        folds = trial.folds.tolist()
        return [
            [described_by(trial.descriptions[fold][person], chat) for fold, chat in zip(folds, asked, strict=True)]
            for person in range(len(trial.answers))
        ]

    def _shares(self, trial: Trial, strengths: Sequence[float], separately: bool) -> Tensor:
        people, folds = len(trial.answers), len(trial.shifts)
        parts = len(trial.shifts[0].heads) // people if separately else 1
        # The rows of the shift are those of `_shift`: people, strengths, folds, parts, the last one running fastest.
        part = traits_of(trial.items) if separately else torch.zeros(len(trial.items), dtype=torch.long)
        row = torch.arange(people * len(strengths)).unsqueeze(1)
        keys = ((row * folds + trial.folds) * parts + part).flatten().tolist()
        steering = None
        # Unsteered, the prompts of different people may be the same ones, which are then computed once.
        if any(strengths):
            shift = self._shift(trial, strengths, separately)
            enter = lambda rows: applied(self.model, shift.for_pass(rows))  # noqa: E731
            steering = Steering(enter, keys, self.positions == "last", all_alike=self.positions == "all")
        asked = [chat for of_person in self.prompts(trial) for _ in strengths for chat in of_person]
        options = [self.wording.answers()] * len(asked)
        chosen = choose(self.model, self.tokenizer, asked, options, batch_size=self.rows, steering=steering)
        return chosen.probabilities.view(people, len(strengths), len(trial.items), -1)

    def _shift(self, trial: Trial, strengths: Sequence[float], separately: bool) -> Intervention:
        """A row for each person, strength and fold, and with `separately` for each part of a person, in this order."""
        people = len(trial.answers)
        heads, vectors = (
            torch.stack([getattr(shifts, name).unflatten(0, (people, -1)) for shifts in trial.shifts], 1)
            for name in ("heads", "vectors")
        )
        shape = (people, len(strengths), *heads.shape[1:3])
        strength = torch.tensor(strengths).view(1, -1, 1, 1).expand(shape)
        # All but the parts are rows; with `separately` the parts are too.
        count = len(shape) if separately else len(shape) - 1
        rows = [part.unsqueeze(1).expand(*shape, *part.shape[3:]).flatten(0, count - 1) for part in (heads, vectors)]
        rows = [part.unsqueeze(1) if separately else part for part in (*rows, strength.flatten(0, count - 1))]
        return limited(ShiftHeads.sparse(self.places, *joined_heads(*rows)), self.positions)


def traits_of(items: Sequence[Item]) -> Tensor:
    """The number of each item's trait (I,)."""
    return torch.tensor([BIG_FIVE.index(item.trait) for item in items])


def trait_errors(shares: Tensor, trial: Trial, of_all: bool = False) -> Tensor:
    """Mean distance from each person's answers per trait (P, S, 5) at every strength; nan for a trait without any.

    Args:
        shares: (P, S, I, 5) of the options, from very accurate on.
        trial: The items and the people's answers.
        of_all: The distance of all options, by their shares, in place of that of the likeliest one. It moves also where
            the same one stays the likeliest, and so tells more of few items.
    """
    if not of_all:
        shares = torch.nn.functional.one_hot(shares.argmax(-1), shares.shape[-1])
    points = torch.arange(len(OPTION_LETTERS), 0, -1)
    apart = (points - trial.answers.unsqueeze(-1)).abs().unsqueeze(1)
    distances = (shares * apart).sum(-1, dtype=torch.double)
    own = traits_of(trial.items).unsqueeze(1) == torch.arange(len(BIG_FIVE))
    counted = ((trial.answers != MISSING).unsqueeze(-1) & own).double()
    return torch.einsum("psi,pit->pst", distances, counted) / counted.sum(1).unsqueeze(1)


def trial_of(
    batch: PeopleBatch,
    prompt: Prompt,
    folds: Tensor,
    shifts: HeadShifts | None = None,
    without: Sequence[HeadShifts] = (),
    on_test: bool = False,
    at_most: int | None = None,
) -> Trial:
    """The items by which strengths are chosen under one kind of prompt.

    Args:
        batch: P people.
        prompt: The kind of prompt.
        folds: (I,) of each describing item.
        shifts: Learnt from all describing items; may be left out where items are only to be asked.
        without: For each fold, learnt without its items; likewise.
        on_test: Take the scored items, as the release does.
        at_most: Under descriptions take about so many of the describing items, evenly of every trait and direction.
    """
    questionnaire, parts = batch.questionnaire, int(folds.max()) + 1
    items = questionnaire.scored if on_test else questionnaire.described
    own = [person.scored(questionnaire) if on_test else person.described(questionnaire) for person in batch.people]
    # An item is asked under a description that does not hold its answer.
    told = [torch.ones(len(folds), dtype=torch.bool)] if on_test else [folds != fold for fold in range(parts)]
    described = [[batch.describe(record, part.tolist()) for record in range(len(batch))] for part in told]
    answers = torch.tensor([list(answers) for answers in own])
    if prompt == "described" and at_most is not None and not on_test:
        # Within each fold, every trait and direction has its share.
        chosen = torch.zeros(len(items), dtype=torch.bool)
        for fold in range(parts):
            places = (folds == fold).nonzero().squeeze(1)
            share = max(1, round(len(items) / at_most))
            chosen[places[item_folds([items[place] for place in places.tolist()], share, seed=fold) == 0]] = True
        items = tuple(item for item, taken in zip(items, chosen.tolist(), strict=True) if taken)
        answers, folds = answers[:, chosen], folds[chosen]
    return Trial(
        items=items,
        answers=answers,
        folds=torch.zeros(len(items), dtype=torch.long) if on_test else folds,
        shifts=[shifts] if on_test and shifts is not None else without,
        descriptions=described if prompt == "described" else None,
    )


def joined_heads(heads: Tensor, vectors: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
    """The shifts of people who have several parts, such as one for each trait, as one shift each.

    Args:
        heads: (P, T, k, 2) layer and head; one that stands in several parts is shifted by all of them.
        vectors: (P, T, k, head_dim).
        strength: (P, T) multiplies the parts.

    Returns:
        (P, T k, 2) and (P, T k, head_dim).

    Example:
        >>> heads = torch.tensor([[[[0, 1]], [[0, 2]]]])
        >>> joined_heads(heads, torch.ones(1, 2, 1, 1), torch.tensor([[2.0, 3.0]]))
        (tensor([[[0, 1],
             [0, 2]]]), tensor([[[2.],
             [3.]]]))
    """
    scaled = vectors * strength.to(vectors.device).unsqueeze(-1).unsqueeze(-1)
    return heads.flatten(1, 2), scaled.flatten(1, 2)


def people_shift(places: Places, heads: Tensor, vectors: Tensor, strengths: Tensor) -> ShiftHeads:
    """The shift of each person, with the strength beside the vectors wherever a person has a single one.

    Args:
        places: Heads of the model.
        heads: (P, T, k, 2).
        vectors: (P, T, k, head_dim).
        strengths: (P, T).
    """
    if heads.shape[1] == 1:
        return ShiftHeads.sparse(places, heads[:, 0], vectors[:, 0], strengths[:, 0])
    return ShiftHeads.sparse(places, *joined_heads(heads, vectors, strengths))


def limited(shift: ShiftHeads, positions: Positions) -> Intervention:
    """A shift of heads at some positions only."""
    return shift if positions == "all" else Limited(shift, positions=positions)


def best_strengths(errors: Tensor, strengths: Sequence[float], per_trait: bool) -> Tensor:
    """The strength with the smallest error of each person; among equals the smallest.

    Args:
        errors: (P, S, 5) mean distance per trait, nan for a trait without answers.
        strengths: S of them.
        per_trait: Choose for each trait by its own error, rather than by the sum.

    Returns:
        (P, 5) or (P, 1).

    Example:
        >>> errors = torch.tensor([[[1.0, 2.0], [0.5, 3.0]]])
        >>> best_strengths(errors, [0.0, 4.0], per_trait=True), best_strengths(errors, [0.0, 4.0], per_trait=False)
        (tensor([[4., 0.]]), tensor([[0.]]))
    """
    order = sorted(range(len(strengths)), key=lambda place: abs(strengths[place]))
    known = errors[:, order].nan_to_num(0.0)
    candidates = known if per_trait else known.sum(-1, keepdim=True)
    # Rounding must not decide between strengths that do equally well.
    best = (candidates <= candidates.min(1, keepdim=True).values + 1e-9).int().argmax(1)
    return torch.tensor(strengths, dtype=torch.float32)[torch.tensor(order)][best]
