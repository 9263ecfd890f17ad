"""PAS under a person's description, learnt where it acts: from items asked after the others' answers.

A description moves a model most of the way to a person; what is left is that it takes a trait for somewhat higher or
lower than the answers say. Where the model is about to answer, the heads of late layers hold whether it will agree. So
one direction is learnt for each person, from items they do not agree with towards those they do, and each item is
shifted along it by its trait's strength: towards agreeing if it is keyed that way, and away from it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_modules.pas_fit import HeadSettings, HeadShifts, agreement_labels, find_heads, head_shifts
from lightning_modules.pas_options import PASOptions
from lightning_modules.pas_record import asked_heads
from lightning_modules.pas_strength import Prober, Trial, best_strengths, trait_errors, trial_of
from lm.chat import Chat
from personas.people import PeopleBatch
from personas.questionnaire import Item
from personas.traits import BIG_FIVE

ENDS = 2
"""Rows of a trait: of items keyed towards it, and of items keyed away from it."""


def learn_asked(
    batch: PeopleBatch,
    prober: Prober,
    folds: Tensor,
    settings: HeadSettings,
    options: PASOptions,
) -> dict[str, Tensor]:
    """Heads, shifts and strengths of people under their descriptions.

    An item is asked under a description without its answer. Its strength is tried along a direction that was learnt
    without it.

    Args:
        batch: P people.
        prober: Asks the model.
        folds: (I,) of each describing item.
        settings: How heads are found.
        options: How people are learnt; S strengths are tried, those above 0 towards a trait's high end.

    Returns:
        `asked_heads` (P, k, 2), `asked_vectors` (P, k, head_dim), `asked_accuracy` (P, k), `asked_strengths` (P, 5) and
        `asked_errors` (P, S) of every strength tried, summed over traits.
    """
    strengths = options.described_strengths
    trial = trial_of(batch, "described", folds, at_most=options.tried)
    people = zip(prober.prompts(trial), trial.answers.split(1), strict=True)
    layers = list(prober.places.layers if options.described_layers is None else options.described_layers)
    learnt = [_shifts(trial, prober, settings, layers, chats, answers) for chats, answers in people]
    shifts, *without = (_joined(parts) for parts in zip(*learnt, strict=True))
    # An item keyed away from its trait is asked at the strength the other way round.
    signed = sorted({sign * strength for strength in strengths for sign in (1, -1)})
    shares = prober.probabilities(replace(trial, shifts=without), signed)
    keyed_so = torch.tensor([item.key > 0 for item in trial.items]).view(1, 1, -1, 1)
    own, other = (shares[:, [signed.index(sign * strength) for strength in strengths]] for sign in (1, -1))
    errors = trait_errors(torch.where(keyed_so, own, other), trial, of_all=True)
    return {
        "asked_heads": shifts.heads,
        "asked_vectors": shifts.vectors.cpu(),
        "asked_accuracy": shifts.accuracy,
        "asked_strengths": best_strengths(errors, strengths, per_trait=True),
        "asked_errors": errors.nansum(-1),
    }


def towards_ends(heads: Tensor, vectors: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
    """What steers each kind of item: two rows for each trait, as `end_of` counts them.

    Args:
        heads: (P, k, 2).
        vectors: (P, k, head_dim) towards agreeing.
        strengths: (P, 5) towards each trait's high end.

    Returns:
        Heads (P, 10, k, 2) and vectors (P, 10, k, head_dim).

    Example:
        >>> heads, vectors = torch.zeros(1, 1, 2, dtype=torch.long), torch.ones(1, 1, 1)
        >>> towards_ends(heads, vectors, torch.tensor([[2.0, 0.0, 0.0, 0.0, -1.0]]))[1].flatten()
        tensor([ 2., -2.,  0., -0.,  0., -0.,  0., -0., -1.,  1.])
    """
    signed = torch.stack([strengths, -strengths], -1).flatten(1)
    rows = signed.to(vectors).view(*signed.shape, 1, 1) * vectors.unsqueeze(1)
    return heads.unsqueeze(1).expand(-1, signed.shape[1], -1, -1), rows


def end_of(item: Item) -> int:
    """The row of `towards_ends` that steers an item."""
    return ENDS * BIG_FIVE.index(item.trait) + int(item.key < 0)


def _shifts(
    trial: Trial,
    prober: Prober,
    settings: HeadSettings,
    layers: Sequence[int],
    chats: Sequence[Chat],
    answers: Tensor,
) -> list[HeadShifts]:
    """Shifts of one person, from prompts and answers (1, I): learnt from all items, then for each fold without its."""
    folds = range(int(trial.folds.max()) + 1)
    places = [(trial.folds == fold).nonzero().squeeze(1) for fold in folds if bool((trial.folds == fold).any())]
    recorded = [
        asked_heads(
            prober.model,
            prober.tokenizer,
            prober.places,
            [chats[place] for place in of_fold.tolist()],
            prober.wording.answers(),
            prober.rows,
            layers,
        )
        for of_fold in places
    ]
    features = torch.cat(recorded)[torch.cat(places).argsort()]
    labels, used = agreement_labels(answers)
    heads, accuracy = find_heads(features, labels, used, trial.folds, settings)
    some = [used, *(used & (trial.folds != fold) for fold in folds)]
    shifts = [head_shifts(features, labels, counted, heads, accuracy, settings) for counted in some]
    # Heads were numbered among the recorded layers.
    numbered = torch.stack([torch.tensor(layers)[heads[..., 0]], heads[..., 1]], -1)
    return [replace(shift, heads=numbered) for shift in shifts]


def _joined(parts: Sequence[HeadShifts]) -> HeadShifts:
    names = ("heads", "vectors", "accuracy")
    return HeadShifts(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
