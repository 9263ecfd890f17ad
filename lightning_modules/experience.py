"""What a policy has written, how it was rewarded, and what to make of it: the material of one round of PPO."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from files.errors import InputError
from lm.prompt_batch import Rollout
from lm.target_log_probs import target_outputs
from losses.ppo import (
    KLEstimator,
    generalised_advantages,
    group_advantages,
    kl_estimate,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whitened,
)


@dataclass
class PPOOptions:
    """How answers are turned into updates.

    Attributes:
        advantage: gae: of every token, with a value head. group: of the whole answer, over the other answers to the
            same prompt, without a value head (as in GRPO).
        group_size: Answers per prompt; two or more for `group`.
        epochs: Passes over the answers of a batch.
        minibatch: Answers per optimizer step.
        clip: Largest relative change of a token's probability that is rewarded.
        value_clip: Largest change of a predicted value that is rewarded.
        value_weight: Weight of the value loss.
        gamma: Discount from one token to the next.
        lam: Weight of longer looks ahead.
        kl_coefficient: Price of a divergence of 1 from the reference; where there is a target, the price to begin with.
        kl_target: Divergence of a whole answer at which the price stays; None keeps the price fixed.
        kl_horizon: Answers over which the price may grow or shrink by a fifth.
        kl_estimator: k1 or k3; `group` adds the divergence to the loss and always takes k3.
        whiten_rewards: Scale rewards to variance 1.
        whiten_advantages: Scale advantages to mean 0 and variance 1 (`gae`), or to variance 1 in a group (`group`).
        unended_penalty: Taken off the reward of an answer that was cut off.
    """

    advantage: Literal["gae", "group"] = "gae"
    group_size: int = 1
    epochs: int = 4
    minibatch: int = 16
    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    gamma: float = 1.0
    lam: float = 0.95
    kl_coefficient: float = 0.05
    kl_target: float | None = None
    kl_horizon: int = 1000
    kl_estimator: KLEstimator = "k1"
    whiten_rewards: bool = False
    whiten_advantages: bool = True
    unended_penalty: float = 0.0

    def check(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            InputError: Naming the setting.
        """
        least = {"group_size": 2 if self.advantage == "group" else 1, "epochs": 1, "minibatch": 1, "kl_horizon": 1}
        for name in least:
            if getattr(self, name) < least[name]:
                raise _bad(name, f"{least[name]} or more", getattr(self, name))
        for name in ("clip", "value_clip"):
            if getattr(self, name) <= 0:
                raise _bad(name, "more than 0", getattr(self, name))
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise _bad(name, "from 0 to 1", getattr(self, name))
        for name in ("kl_coefficient", "value_weight", "unended_penalty"):
            if getattr(self, name) < 0:
                raise _bad(name, "0 or more", getattr(self, name))
        if self.kl_target is not None and self.kl_target <= 0:
            raise _bad("kl_target", "more than 0, or left out for a fixed price", self.kl_target)


@dataclass
class Predicted:
    """What a model makes of the answers: of each token of theirs (B, A), 0 elsewhere.

    Attributes:
        log_probs: Its log-probability.
        values: The predicted value before it; all 0 without a value head.
    """

    log_probs: Tensor
    values: Tensor


@dataclass
class Experience:
    """Answers and what training on them needs; one row per answer, (B, A) where not said otherwise.

    Attributes:
        rollout: The answers.
        log_probs: Log-probability of each token when it was written.
        reference: Under the reference.
        values: Predicted value before each token.
        advantages: How much better each token was than predicted.
        returns: What the values should have been.
        scores: Reward of each answer, without the price of divergence (B,).
        kl: Divergence of each answer from the reference (B,).
    """

    rollout: Rollout
    log_probs: Tensor
    reference: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    scores: Tensor
    kl: Tensor

    def rows(self, index: Tensor) -> Experience:
        """Some of the answers."""
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "rollout"}
        return Experience(self.rollout.rows(index), **{name: value[index] for name, value in parts.items()})


@dataclass
class UpdateLoss:
    """The loss of some answers, and its parts.

    Attributes:
        total: What is minimised; a scalar.
        parts: Name to a scalar without gradient.
    """

    total: Tensor
    parts: dict[str, Tensor]


def predicted(lm: PreTrainedModel, value_head: nn.Module | None, rollout: Rollout, temperature: float) -> Predicted:
    """What a model makes of answers, with gradients where the caller has them on."""
    log_probs, hidden = target_outputs(lm, rollout.input_ids, rollout.target_mask, temperature=temperature)
    laid_out = rollout.by_answer(log_probs)
    if value_head is None:
        return Predicted(laid_out, torch.zeros_like(laid_out))
    return Predicted(laid_out, rollout.by_answer(value_head(hidden.float()).squeeze(-1)))


def judged(
    rollout: Rollout, old: Predicted, reference: Tensor, scores: Tensor, kl_coefficient: float, options: PPOOptions
) -> Experience:
    """Work out advantages and returns.

    Args:
        rollout: The answers.
        old: What the policy made of them.
        reference: What the reference made of them (B, A).
        scores: Reward of each answer (B,).
        kl_coefficient: Price of divergence.
        options: How.
    """
    mask = rollout.answer_mask
    scores = scores.to(old.log_probs) - options.unended_penalty * (~rollout.ended).to(old.log_probs)
    kl = kl_estimate(old.log_probs, reference, options.kl_estimator)
    if options.advantage == "group":
        of_answer = group_advantages(scores, options.group_size, scale=options.whiten_advantages)
        advantages = of_answer.unsqueeze(1) * mask
        returns = torch.zeros_like(advantages)
    else:
        rewards = token_rewards(scores, kl, mask, kl_coefficient)
        if options.whiten_rewards:
            rewards = whitened(rewards, mask, shift_mean=False) * mask
        advantages = generalised_advantages(rewards, old.values, options.gamma, options.lam)
        returns = advantages + old.values
        advantages = (whitened(advantages, mask) if options.whiten_advantages else advantages) * mask
    divergence = (kl * mask).sum(1)
    return Experience(rollout, old.log_probs, reference, old.values, advantages, returns, scores, divergence)


def update_loss(new: Predicted, of: Experience, kl_coefficient: float, options: PPOOptions) -> UpdateLoss:
    """The loss of some answers under the model as it is now.

    Args:
        new: What the model makes of them now.
        of: The answers, their advantages and returns.
        kl_coefficient: Price of divergence, for groups, whose loss it is part of.
        options: How.
    """
    mask = of.rollout.answer_mask
    policy = policy_loss(new.log_probs, of.log_probs, of.advantages, mask, options.clip)
    parts = {"policy_loss": policy.loss.detach(), "clipped": policy.clipped}
    if options.advantage == "group":
        kl = masked_mean(kl_estimate(new.log_probs, of.reference, "k3"), mask)
        return UpdateLoss(policy.loss + kl_coefficient * kl, parts)
    value = value_loss(new.values, of.values, of.returns, mask, options.value_clip)
    parts |= {"value_loss": value.loss.detach(), "value_clipped": value.clipped}
    return UpdateLoss(policy.loss + options.value_weight * value.loss, parts)


def _bad(name: str, expected: str, got: object) -> InputError:
    option = f"model.init_args.ppo.{name}"
    return InputError("is out of range", field=option, expected=expected, got=got, fix="correct it")
