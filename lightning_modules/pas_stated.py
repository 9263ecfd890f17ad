"""PAS as published: learnt from statements made and not made, which show everybody's answers to the same items."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.pas_fit import HeadSettings, find_heads, head_shifts, of_each_trait, statement_labels
from lightning_modules.pas_options import PASOptions
from lightning_modules.pas_strength import Prober, best_strengths, trait_errors, trial_of
from personas.people import PeopleBatch
from personas.traits import BIG_FIVE


def learn_stated(
    batch: PeopleBatch,
    features: Tensor,
    prober: Prober,
    folds: Tensor,
    settings: HeadSettings,
    options: PASOptions,
) -> dict[str, Tensor]:
    """Heads, shifts and strengths of people.

    Args:
        batch: P people.
        features: (2 I, L, H, head_dim) of the describing items' statements, each made and not made.
        prober: Asks the model.
        folds: (I,) of each item.
        settings: How heads are found.
        options: How people are learnt; V kinds of prompts are those of `stated_prompts`.

    Returns:
        `heads` (P, T, k, 2), `vectors` (P, T, k, head_dim), `accuracy` (P, T, k), `strengths` (P, V, T), and `errors`
        (P, V, S) of every strength tried. T is 5 if heads are found for each trait, else 1.
    """
    items = batch.questionnaire.described
    answers = torch.tensor([list(person.described(batch.questionnaire)) for person in batch.people])
    labels, used = statement_labels(answers)
    if options.per_trait:
        labels, used = of_each_trait(labels, used, items)
    of_statement = folds.repeat_interleave(2)
    heads, accuracy = find_heads(features, labels, used, of_statement, settings)
    shifts = head_shifts(features, labels, used, heads, accuracy, settings)
    without = [
        head_shifts(features, labels, used & (of_statement != fold), heads, accuracy, settings)
        for fold in range(int(folds.max()) + 1)
    ]
    parts = len(BIG_FIVE) if options.per_trait else 1
    chosen, errors = [], []
    for prompt in options.stated_prompts:
        trial = trial_of(batch, prompt, folds, shifts, without, options.select_on == "test", options.tried)
        shares = prober.probabilities(trial, options.strengths, options.separately)
        of_traits = trait_errors(shares, trial)
        chosen.append(best_strengths(of_traits, options.strengths, options.strength_per_trait).expand(-1, parts))
        errors.append(of_traits.nansum(-1))
    found = {name: getattr(shifts, name).unflatten(0, (len(batch), -1)).cpu() for name in ("heads", "vectors")}
    found["accuracy"] = shifts.accuracy.unflatten(0, (len(batch), -1)).cpu()
    return found | {"strengths": torch.stack(chosen, 1), "errors": torch.stack(errors, 1)}
