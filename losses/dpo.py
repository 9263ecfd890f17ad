"""Losses on pairs of answers: what is preferred is made likelier than what is not, measured against a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PairLoss = Literal["sigmoid", "ipo", "hinge"]


@dataclass(frozen=True)
class PairLogProbs:
    """How likely a model finds both answers of each pair.

    Attributes:
        chosen: Log-probability of the preferred answers (B,).
        rejected: Log-probability of the others (B,).
        chosen_tokens: Tokens of the preferred answers (B,).
        rejected_tokens: Tokens of the others (B,).
    """

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    def per_token(self) -> PairLogProbs:
        """The same with means over tokens in place of sums."""
        return PairLogProbs(
            self.chosen / self.chosen_tokens.clamp(min=1),
            self.rejected / self.rejected_tokens.clamp(min=1),
            self.chosen_tokens,
            self.rejected_tokens,
        )


@dataclass
class PairOptions:
    """How pairs are turned into a loss.

    Attributes:
        loss: sigmoid (DPO), ipo or hinge.
        beta: How closely the model is kept to the reference; larger is closer.
        label_smoothing: Probability that a pair's order is wrong, below a half (sigmoid only).
        length_normalised: Compare log-probabilities per token in place of those of whole answers.
        sft_weight: Weight of the preferred answers' own loss per token, added to that of the pairs.
    """

    loss: PairLoss = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0
    length_normalised: bool = False
    sft_weight: float = 0.0

    def check(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            ValueError: A number is out of its range, or the loss has no labels to smooth.
        """
        if self.beta <= 0:
            raise ValueError(f"beta: expected a number above 0, got {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing: expected at least 0 and below 0.5, got {self.label_smoothing}")
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError(f"label_smoothing: only the sigmoid loss has labels to smooth, not {self.loss}")
        if self.sft_weight < 0:
            raise ValueError(f"sft_weight: expected a number of 0 or more, got {self.sft_weight}")


def margins(policy: PairLogProbs, reference: PairLogProbs, length_normalised: bool = False) -> Tensor:
    """How much more than the reference the policy prefers each chosen answer, in log-probability (B,).

    >>> ones = torch.ones(1)
    >>> policy = PairLogProbs(-2 * ones, -6 * ones, 2 * ones, 3 * ones)
    >>> reference = PairLogProbs(-3 * ones, -3 * ones, 2 * ones, 3 * ones)
    >>> float(margins(policy, reference)), float(margins(policy, reference, length_normalised=True))
    (4.0, 1.5)
    """
    if length_normalised:
        policy, reference = policy.per_token(), reference.per_token()
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


def pair_loss(margin: Tensor, loss: PairLoss, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Loss of each pair (B,).

    Args:
        margin: How much more than the reference the policy prefers the chosen answers (B,).
        loss: sigmoid, ipo or hinge.
        beta: Scale of the margin; IPO draws the margin to 1 / (2 beta).
        label_smoothing: Probability that a pair's order is wrong (sigmoid).

    Returns:
        One loss per pair.

    Raises:
        ValueError: The loss has another name.

    Reference:
        sigmoid: Rafailov et al. 2023, Direct Preference Optimization, eq. 7; with smoothing, Mitchell 2023, A note on
        DPO with noisy preferences, eq. 3. ipo: Azar et al. 2023, A general theoretical paradigm, eq. 17. hinge: Zhao et
        al. 2023, SLiC-HF, eq. 1, on margins against the reference.

    >>> margin = torch.tensor([0.0, 2.0])
    >>> pair_loss(margin, "ipo", beta=0.5), pair_loss(margin, "hinge", beta=0.25)
    (tensor([1., 1.]), tensor([1.0000, 0.5000]))
    >>> [round(float(loss), 4) for loss in pair_loss(margin, "sigmoid", beta=0.5)]
    [0.6931, 0.3133]
    """
    if loss == "sigmoid":
        kept, swapped = F.logsigmoid(beta * margin), F.logsigmoid(-beta * margin)
        return -(1 - label_smoothing) * kept - label_smoothing * swapped
    if loss == "ipo":
        return (margin - 1 / (2 * beta)) ** 2
    if loss == "hinge":
        return torch.relu(1 - beta * margin)
    raise ValueError(f"expected sigmoid, ipo or hinge, got {loss!r}")


def preference_loss(policy: PairLogProbs, reference: PairLogProbs, options: PairOptions) -> Tensor:
    """Mean loss over pairs, with the preferred answers' own loss where it has a weight; a scalar.

    Deviation:
        IPO is averaged over the tokens of an answer where `length_normalised` is set, as its authors do; without it,
        it is taken on whole answers, as in the paper.

    >>> ones = torch.ones(2)
    >>> policy = PairLogProbs(-4 * ones, -4 * ones, 2 * ones, 2 * ones)
    >>> loss = preference_loss(policy, policy, PairOptions("hinge", sft_weight=0.5))
    >>> float(loss)
    2.0
    """
    margin = margins(policy, reference, options.length_normalised)
    loss = pair_loss(margin, options.loss, options.beta, options.label_smoothing).mean()
    if options.sft_weight:
        loss = loss - options.sft_weight * policy.chosen.sum() / policy.chosen_tokens.sum().clamp(min=1)
    return loss
