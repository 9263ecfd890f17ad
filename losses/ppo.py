"""The parts of proximal policy optimisation on answers: advantages, clipped losses, and the price of drifting away.

`B` answers of at most `T` tokens; a mask is True on tokens of an answer and False on what fills rows up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

KLEstimator = Literal["k1", "k3"]

_TINY = 1e-8
_LARGEST_ADAPTION = 0.2


@dataclass(frozen=True)
class ClippedLoss:
    """A clipped loss and how often the clip took hold.

    Attributes:
        loss: Mean over the tokens of the mask; a scalar.
        clipped: Share of these tokens whose clipped side was the larger; a scalar without gradient.
    """

    loss: Tensor
    clipped: Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values (B, T) where the mask is true; 0 where it is true nowhere.

    >>> float(masked_mean(torch.tensor([[1.0, 5.0, 9.0]]), torch.tensor([[True, True, False]])))
    3.0
    """
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whitened(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Values (B, T) scaled to variance 1 over the mask, and to mean 0 unless the mean is to stay.

    The variance divides by n - 1; a single value counts as variance 0.

    >>> whitened(torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]]))[0, :2]
    tensor([-0.7071,  0.7071])
    """
    mean = masked_mean(values, mask)
    count = mask.sum()
    variance = ((values - mean) ** 2 * mask).sum() / (count - 1).clamp(min=1)
    scaled = (values - mean) * torch.rsqrt(variance + _TINY)
    return scaled if shift_mean else scaled + mean


def generalised_advantages(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """Advantage of every token (B, T); what comes after the last one is worth 0.

    Args:
        rewards: Reward at each token (B, T), 0 on what fills rows up.
        values: Predicted value before each token (B, T), 0 on what fills rows up.
        gamma: Discount from one token to the next.
        lam: Weight of longer looks ahead, from 0 (one token) to 1 (to the end).

    Reference:
        Schulman et al. 2015, High-dimensional continuous control using generalized advantage estimation, eq. 16.

    >>> rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.5, 0.5]])
    >>> generalised_advantages(rewards, values, gamma=1.0, lam=0.5)
    tensor([[0.1250, 0.2500, 0.5000]])
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    surprise = rewards + gamma * following - values
    advantages, ahead = [], torch.zeros_like(surprise[:, 0])
    for step in range(surprise.shape[1] - 1, -1, -1):
        ahead = surprise[:, step] + gamma * lam * ahead
        advantages.append(ahead)
    return torch.stack(advantages[::-1], dim=1) if advantages else surprise


def group_advantages(scores: Tensor, group_size: int, scale: bool = True) -> Tensor:
    """Advantage of each answer (B,) over the mean of the answers to the same prompt, which stand side by side.

    Args:
        scores: Reward of each answer (B,).
        group_size: Answers per prompt, at least two.
        scale: Divide by the group's standard deviation (n - 1).

    Raises:
        ValueError: The answers do not share out into such groups.

    Reference:
        Shao et al. 2024, DeepSeekMath, section 4.1 (GRPO with outcome supervision).

    >>> group_advantages(torch.tensor([1.0, 3.0, 5.0, 5.0]), 2, scale=False)
    tensor([-1.,  1.,  0.,  0.])
    """
    if group_size < 2 or len(scores) % group_size:
        raise ValueError(f"expected groups of 2 or more that {len(scores)} answers share out into, got {group_size}")
    grouped = scores.view(-1, group_size)
    centred = grouped - grouped.mean(1, keepdim=True)
    if scale:
        centred = centred / (grouped.std(1, keepdim=True) + 1e-4)
    return centred.flatten()


def policy_loss(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> ClippedLoss:
    """Clipped surrogate of the policy.

    Args:
        new: Log-probability of each token now (B, T).
        old: The same when the answers were written (B, T).
        advantages: (B, T).
        mask: Tokens that count (B, T).
        clip: Largest relative change of a token's probability that is rewarded.

    Reference:
        Schulman et al. 2017, Proximal policy optimization algorithms, eq. 7.

    >>> old, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> result = policy_loss(torch.tensor([[0.5, -0.5]]).log1p(), old, torch.ones(1, 2), mask, clip=0.2)
    >>> round(float(result.loss), 4), float(result.clipped)
    (-0.85, 0.5)
    """
    ratio = (new - old).exp()
    free, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return ClippedLoss(masked_mean(torch.maximum(free, clipped), mask), _share(clipped > free, mask))


def value_loss(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> ClippedLoss:
    """Half the squared error of the predicted values, which may move by `clip` at a time.

    Args:
        new: Predicted values now (B, T).
        old: The same when the answers were written (B, T).
        returns: What they should have been (B, T).
        mask: Tokens that count (B, T).
        clip: Largest change that is rewarded.

    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> result = value_loss(torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]), mask, clip=0.5)
    >>> round(float(result.loss), 4), float(result.clipped)
    (0.625, 1.0)
    """
    bounded = torch.minimum(torch.maximum(new, old - clip), old + clip)
    free, clipped = (new - returns) ** 2, (bounded - returns) ** 2
    return ClippedLoss(0.5 * masked_mean(torch.maximum(free, clipped), mask), _share(clipped > free, mask))


def kl_estimate(policy: Tensor, reference: Tensor, estimator: KLEstimator = "k1") -> Tensor:
    """Estimate of KL(policy || reference) at each token that the policy wrote (B, T).

    Args:
        policy: Log-probability of the token under the policy (B, T).
        reference: Under the reference (B, T).
        estimator: k1 is their difference; k3 has less variance and is never negative.

    Raises:
        ValueError: The estimator has another name.

    Reference:
        Schulman 2020, Approximating KL divergence (joschu.net/blog/kl-approx.html).

    >>> policy, reference = torch.tensor([[-1.0]]), torch.tensor([[-2.0]])
    >>> float(kl_estimate(policy, reference)), round(float(kl_estimate(policy, reference, "k3")), 4)
    (1.0, 0.3679)
    """
    ratio = reference - policy
    if estimator == "k1":
        return -ratio
    if estimator == "k3":
        return ratio.exp() - 1 - ratio
    raise ValueError(f"expected k1 or k3, got {estimator!r}")


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coefficient: float) -> Tensor:
    """Reward at every token (B, T): the price of its divergence, and at the last one also the answer's score (B,).

    >>> mask = torch.tensor([[True, True, False]])
    >>> token_rewards(torch.tensor([2.0]), torch.tensor([[1.0, 0.5, 9.0]]), mask, kl_coefficient=0.5)
    tensor([[-0.5000,  1.7500,  0.0000]])
    """
    rewards = torch.where(mask, -kl_coefficient * kl, 0.0)
    last = (mask.long().cumsum(1) * mask).argmax(1, keepdim=True)
    return rewards.scatter_add(1, last, scores.to(rewards.dtype).unsqueeze(1))


def adapted_kl_coefficient(coefficient: float, kl: float, target: float, answers: int, horizon: int) -> float:
    """The next price of divergence: higher where the divergence of whole answers was above its target.

    Reference:
        Ziegler et al. 2019, Fine-tuning language models from human preferences, section 2.2.

    >>> round(adapted_kl_coefficient(0.1, kl=12.0, target=6.0, answers=100, horizon=1000), 4)
    0.102
    """
    error = min(max(kl / target - 1, -_LARGEST_ADAPTION), _LARGEST_ADAPTION)
    return coefficient * (1 + error * answers / horizon)


def _share(of: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(of.float(), mask).detach()
