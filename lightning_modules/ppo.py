"""Proximal policy optimisation: the model answers prompts, and what is rewarded becomes likelier."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import PreTrainedModel

from files.errors import InputError
from lightning_modules.base import HEADER, PersonaModule
from lightning_modules.experience import Experience, PPOOptions, judged, predicted, update_loss
from lightning_modules.optimizers import check_optimizer_settings, decayed_groups, on_schedule
from lightning_modules.reference import adapters_off
from lightning_modules.rewards import Reward, total_reward
from lightning_modules.shards import weight_in_mean
from lm.loading import LMSpec, without_adapter
from lm.passes import evaluating
from lm.prompt_batch import PromptBatch, roll_out
from losses.ppo import adapted_kl_coefficient


@dataclass
class RolloutOptions:
    """How the model answers while it is trained.

    Attributes:
        max_new_tokens: Longest answer, in tokens.
        temperature: Of the sampling; also of the probabilities that are trained.
        rows: Answers written in one go.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    rows: int = 64


class PPOModule(PersonaModule):
    """Trains a language model on rewards for what it writes.

    A batch of prompts is answered, judged, and then learnt from in a few passes of minibatches; a batch takes several
    optimizer steps, which `trainer.max_steps` counts. The model stays in evaluation mode: dropout would make what was
    written look like another model's.

    Args:
        lm: The language model.
        rewards: What answers are rewarded for; weighted and summed.
        ppo: How answers are turned into updates.
        rollouts: How the model answers.
        reference: What divergence is measured from: the model without its adapter, or a frozen copy of the start.
        learning_rate: Of AdamW at its peak.
        value_learning_rate: Of the value head at its peak.
        warmup_steps: Optimizer steps until the peak.
        final_share: Share of the learning rates that is left at the last step; 1 keeps them as they are.
        weight_decay: Decay of the weight matrices.
        betas: Memory of AdamW's two moments.
        gradient_clip: Largest norm of the gradient; None for no limit.
        seed: Seed of the sampling and of the order of minibatches.
        init_from: A run or checkpoint to begin with, which the reference then is; the stored model where left out.
    """

    kl_coefficient: Tensor
    rounds: Tensor

    def __init__(
        self,
        lm: LMSpec,
        rewards: list[Reward] | None = None,
        ppo: PPOOptions | None = None,
        rollouts: RolloutOptions | None = None,
        reference: Literal["copy", "adapter_off"] = "copy",
        learning_rate: float = 1e-5,
        value_learning_rate: float | None = None,
        warmup_steps: int = 0,
        final_share: float = 1.0,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        gradient_clip: float | None = 1.0,
        seed: int = 0,
        init_from: str | None = None,
    ) -> None:
        super().__init__(lm, init_from)
        value_learning_rate = learning_rate if value_learning_rate is None else value_learning_rate
        check_optimizer_settings(
            betas=betas,
            learning_rate=learning_rate,
            value_learning_rate=value_learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            final_share=final_share,
        )
        self.automatic_optimization = False
        self.rewards = list(rewards or [])
        self.ppo = ppo or PPOOptions()
        self.rollouts = rollouts or RolloutOptions()
        self.reference = reference
        self.learning_rate = learning_rate
        self.value_learning_rate = value_learning_rate
        self.warmup_steps = warmup_steps
        self.final_share = final_share
        self.weight_decay = weight_decay
        self.betas = betas
        self.gradient_clip = gradient_clip
        self.seed = seed
        self.value_head: nn.Linear | None = None
        self.register_buffer("kl_coefficient", torch.tensor(self.ppo.kl_coefficient))
        self.register_buffer("rounds", torch.tensor(0))
        self._copy: list[PreTrainedModel] = []

    def configure_model(self) -> None:
        """Load the model, copy it where the reference is a copy, and add a value head that predicts 0 at first."""
        if self.model_hash is not None:
            return
        self.ppo.check()
        if self.reference == "adapter_off" and self.lm_spec == without_adapter(self.lm_spec):
            raise InputError(
                "there is no adapter to switch off",
                field="model.init_args.reference",
                expected="model.init_args.lm.lora beside it, or copy",
                got=self.reference,
                fix="take copy, or train an adapter",
            )
        super().configure_model()
        if self.reference == "copy":
            self._copy = [deepcopy(self.lm).requires_grad_(False).eval()]
        if self.ppo.advantage == "gae":
            width = self.lm.get_output_embeddings().weight.shape[1]
            self.value_head = nn.Linear(width, 1)
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)

    def on_fit_start(self) -> None:
        """Load and check the rewards before anything is trained."""
        if not self.rewards:
            raise InputError(
                "nothing is rewarded",
                field="model.init_args.rewards",
                expected="a list such as [{class_path: lightning_modules.rewards.QuestionnaireReward}]",
                fix="name a reward",
            )
        for reward in self.rewards:
            reward.prepare()
        self.lm.train()  # the Trainer looks whether something has been forgotten in evaluation mode
        for copy in self._copy:
            copy.to(self.device)

    def on_train_start(self) -> None:
        """Put the model into evaluation mode, on purpose."""
        self.lm.eval()

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        """Answer a batch of prompts, and learn from the answers."""
        experience, means = self.collect(batch)
        losses = self.update(experience)
        kl, answers = float(experience.kl.mean()), len(experience.scores)
        shown = {"reward": float(experience.scores.mean()), "kl": kl}
        for name, value in shown.items():
            self.log(f"train/{name}", value, prog_bar=True, batch_size=weight_in_mean(answers), sync_dist=True)
        for name, value in {**losses, "kl_coefficient": float(self.kl_coefficient)}.items():
            self.log(f"train/{name}", value, batch_size=answers)
        for name, value in means.items():
            self.log(f"train/reward/{name}", value, batch_size=weight_in_mean(answers), sync_dist=True)
        lengths = experience.rollout.answer_mask.sum(1).float()
        self.log("train/answer_tokens", lengths.mean(), batch_size=answers)
        if self.ppo.kl_target is not None:
            price = adapted_kl_coefficient(
                float(self.kl_coefficient), kl, self.ppo.kl_target, answers, self.ppo.kl_horizon
            )
            self.kl_coefficient.fill_(price)
        self.rounds.add_(1)

    def collect(self, batch: PromptBatch) -> tuple[Experience, dict[str, float]]:
        """Answer prompts, and judge the answers.

        Args:
            batch: The prompts.

        Returns:
            The answers with their advantages, and each reward's mean.

        Raises:
            InputError: A reward is no number.
        """
        batch = batch.repeated(self.ppo.group_size)
        rollout = roll_out(
            self.lm,
            self.tokenizer,
            batch.prompts,
            max_new_tokens=self.rollouts.max_new_tokens,
            temperature=self.rollouts.temperature,
            top_p=1.0,
            seed=self._round_seed(),
            batch_size=self.rollouts.rows,
        )
        scores, means = total_reward(self.rewards, batch, rollout.texts)
        with evaluating(self.lm):
            old = predicted(self.lm, self.value_head, rollout, self.rollouts.temperature)
        lm = self._copy[0] if self._copy else self.lm
        with ExitStack() as stack:
            stack.enter_context(evaluating(lm))
            if not self._copy:
                stack.enter_context(adapters_off(lm))
            reference = predicted(lm, None, rollout, self.rollouts.temperature).log_probs
        scores = scores.to(self.device)
        return judged(rollout, old, reference, scores, float(self.kl_coefficient), self.ppo), means

    def update(self, experience: Experience) -> dict[str, float]:
        """Learn from answers in a few passes.

        Args:
            experience: The answers.

        Returns:
            The parts of the loss, averaged over the optimizer steps.
        """
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        sums: dict[str, float] = {}
        steps = 0
        for order in self.orders(len(experience.scores)):
            for index in order.split(self.ppo.minibatch):
                some = experience.rows(index.to(self.device))
                new = predicted(self.lm, self.value_head, some.rollout, self.rollouts.temperature)
                loss = update_loss(new, some, float(self.kl_coefficient), self.ppo)
                optimizer.zero_grad()
                self.manual_backward(loss.total)
                norm = clip_grad_norm_(self._trained(), self.gradient_clip or float("inf"))
                optimizer.step()
                schedule.step()
                steps += 1
                found = {"loss": loss.total.detach(), "gradient_norm": norm.detach(), **loss.parts}
                sums = {name: sums.get(name, 0.0) + float(value) for name, value in found.items()}
        return {name: value / steps for name, value in sums.items()}

    def orders(self, answers: int) -> list[Tensor]:
        """The order in which answers are learnt from, one for each pass."""
        generator = torch.Generator().manual_seed(self._round_seed())
        return [torch.randperm(answers, generator=generator) for _ in range(self.ppo.epochs)]

    def configure_optimizers(self) -> Any:
        """AdamW at one rate, the value head at its own, and how both fall."""
        groups = [{**group, "lr": self.learning_rate} for group in decayed_groups(self.lm, self.weight_decay)]
        if self.value_head is not None:
            head = {"params": list(self.value_head.parameters()), "weight_decay": 0.0, "lr": self.value_learning_rate}
            groups.append(head)
        optimizer = AdamW(groups, lr=self.learning_rate, betas=self.betas)
        return on_schedule(self, optimizer, self.warmup_steps, self.final_share)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the rewards out of the header: they are no part of what was trained."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[HEADER]["settings"].pop("rewards", None)

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def _round_seed(self) -> int:
        """A seed of its own for every round and process."""
        return (self.seed * 1_000_003 + int(self.rounds)) * 1009 + self.global_rank
