"""Linear probes: which of many sets of features tell a person's two kinds of samples apart, for all people at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from files.errors import InputError
from interventions.logistic import fit_logistic

# Numbers of one chunk of features: small enough for the caches of a core, large enough for its arithmetic.
_FEATURES_AT_ONCE = 2**19
_PEOPLE_AT_ONCE = 64


@dataclass(frozen=True)
class Probes:
    """Fitted probes of P people on G sets of features.

    Attributes:
        weights: (P, G, D), float64.
        intercepts: (P, G), float64.
    """

    weights: Tensor
    intercepts: Tensor

    def decide(self, features: Tensor) -> Tensor:
        """Decision values (P, G, N) in float64 of samples (N, G, D); above 0 means label 1."""
        return torch.cat(
            [
                self.weights[:, start:end].transpose(0, 1) @ rows.double().mT
                + self.intercepts.T[start:end].unsqueeze(-1)
                for start, end, rows in _chunks(features)
            ]
        ).transpose(0, 1)


@dataclass(frozen=True)
class HeldBack:
    """How well the probes of P people on G sets of features do on samples that they were not fitted on.

    Attributes:
        accuracy: Share of right answers (P, G).
        log_loss: Mean of -log of the probability of the right answer (P, G); tells probes of equal accuracy apart.
    """

    accuracy: Tensor
    log_loss: Tensor


def fit_probes(
    features: Tensor, labels: Tensor, used: Tensor | None = None, *, c: float = 1.0, tolerance: float = 1e-5
) -> Probes:
    """Fit a logistic regression for every person and every set of features.

    The objective is that of scikit-learn's `LogisticRegression(C=c)`: an L2 penalty on the weights, none on the
    intercept.

    Args:
        features: (N, G, D) samples that all people share, such as activations of G heads of width D.
        labels: (P, N) of each person, 1 or 0.
        used: (P, N) the samples that each person's probes are fitted on; all of them where it is left out.
        c: Weight of the losses against the penalty.
        tolerance: Largest error of a decision value on these samples.

    Raises:
        InputError: A person has samples of one kind only, or features are not finite.
    """
    signs, costs, some = _prepared(features, labels, used, c)
    fitted = list(_fit(features, signs, costs, some, tolerance))
    weights = torch.cat([weights for _, weights, _ in fitted])
    intercepts = torch.cat([intercepts for _, _, intercepts in fitted])
    return Probes(weights.transpose(0, 1), intercepts.T)


def held_back(
    features: Tensor,
    labels: Tensor,
    used: Tensor,
    held: Tensor | None = None,
    *,
    c: float = 1.0,
    tolerance: float = 1e-5,
) -> HeldBack:
    """Fit probes on some of the samples and try them on others; the probes themselves are not kept.

    Args:
        features: (N, G, D) samples that all people share.
        labels: (P, N) of each person, 1 or 0.
        used: (P, N) the samples that each person's probes are fitted on.
        held: (P, N) the samples they are tried on; all the others where it is left out.
        c: Weight of the losses against the penalty.
        tolerance: Largest error of a decision value on the fitted samples.

    Raises:
        InputError: As in `fit_probes`, or a person has no samples to try probes on, or some that they are fitted on.
    """
    signs, costs, some = _prepared(features, labels, used, c)
    tried = ~used.bool() if held is None else held.bool()
    wrong = ~tried.any(1) | (tried & used.bool()).any(1)
    if bool(wrong.any()):
        raise InputError(
            "samples held back must be some, and none that a probe is fitted on",
            row=f"person {int(wrong.nonzero()[0])}",
            got=int(tried[wrong][0].sum()),
        )
    truth = torch.where(labels > 0, 1.0, -1.0).to(features.device, torch.float64)
    weight = tried.to(truth)
    weight = (weight / weight.sum(1, keepdim=True)).unsqueeze(0)
    accuracies, losses = [], []
    for rows, weights, intercepts in _fit(features, signs, costs, some, tolerance):
        values = weights @ rows.double().mT + intercepts.unsqueeze(-1)
        right = (values > 0) == (truth > 0)
        accuracies.append((right.double() * weight).sum(-1))
        losses.append((torch.nn.functional.softplus(-truth * values) * weight).sum(-1))
    return HeldBack(torch.cat(accuracies).T, torch.cat(losses).T)


def best_heads(accuracy: Tensor, count: int, log_loss: Tensor | None = None) -> Tensor:
    """The sets of features with the best accuracy for each person (P, count), best first.

    >>> best_heads(torch.tensor([[0.5, 0.9, 0.9]]), 2, torch.tensor([[0.7, 0.4, 0.3]]))
    tensor([[2, 1]])

    Args:
        accuracy: (P, G).
        count: How many.
        log_loss: (P, G), smaller is better among those of equal accuracy; then, or without it, the first come first.
    """
    order = torch.arange(accuracy.shape[1], device=accuracy.device).expand_as(accuracy)
    if log_loss is not None:
        order = log_loss.argsort(dim=1, stable=True)
    ranks = accuracy.gather(1, order).argsort(dim=1, descending=True, stable=True)
    return order.gather(1, ranks)[:, :count]


def _prepared(features: Tensor, labels: Tensor, used: Tensor | None, c: float) -> tuple[Tensor, Tensor, Tensor]:
    """Signs (P, n) and costs (P, n) of the n samples that anybody uses, and which they are (N,)."""
    counted = torch.ones_like(labels, dtype=torch.bool) if used is None else used.bool()
    if features.dim() != 3 or labels.dim() != 2 or not len(features) == labels.shape[1] == counted.shape[1]:
        raise ValueError(
            f"expected features (N, G, D) and labels (P, N), got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise ValueError("expected labels 0 and 1")
    positive = (counted & (labels == 1)).sum(1)
    lacking = (positive == 0) | (positive == counted.sum(1))
    if bool(lacking.any()):
        raise InputError(
            "a probe cannot be fitted on samples of one kind",
            row=f"person {int(lacking.nonzero()[0])}",
            expected="samples of both kinds",
            got=f"{int(positive[lacking][0])} of {int(counted.sum(1)[lacking][0])} samples are labelled 1",
        )
    some = counted.any(0)
    signs = torch.where(labels[:, some] > 0, 1.0, -1.0).to(features.device, torch.float64)
    return signs, c * counted[:, some].to(signs), some


def _fit(
    features: Tensor, signs: Tensor, costs: Tensor, some: Tensor, tolerance: float
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Fit chunk by chunk: the samples (g, N, D) of some sets of features, weights (g, P, D), intercepts (g, P)."""
    every = bool(some.all())
    for start, end, rows in _chunks(features):
        fitted_rows = rows if every else rows[:, some]
        # Any middle will do, since the intercept makes up for it; float32 holds the difference to the last digits.
        middle = fitted_rows.mean(1, keepdim=True)
        centred = (fitted_rows - middle).float()
        people = zip(signs.split(_PEOPLE_AT_ONCE), costs.split(_PEOPLE_AT_ONCE), strict=True)
        try:
            parts = [fit_logistic(centred, some_signs, some_costs, tolerance) for some_signs, some_costs in people]
        except ArithmeticError as error:
            raise InputError(
                f"probes cannot be fitted: {error}",
                row=f"features {start} to {end - 1}",
                fix="look for overflow in the activations (a model in float16, say)",
            ) from error
        weights = torch.cat([weights for weights, _ in parts], dim=1)
        intercepts = torch.cat([intercepts for _, intercepts in parts], dim=1)
        yield rows, weights, intercepts - (weights @ middle.double().mT).squeeze(-1)


def _chunks(features: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Sets of features, some at a time: the first, the one after the last, and their samples (g, N, D)."""
    at_once = max(1, _FEATURES_AT_ONCE // max(1, len(features) * features.shape[2]))
    for start in range(0, features.shape[1], at_once):
        end = min(start + at_once, features.shape[1])
        rows = features[:, start:end].transpose(0, 1)
        yield start, end, rows if rows.dtype == torch.float64 else rows.float()
