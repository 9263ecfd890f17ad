"""A round of PPO as a plain loop computes it: one answer after the other, and whole rows of logits for each of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import GenerationConfig, PreTrainedModel

from lightning_modules.experience import Experience, Predicted, judged, update_loss
from lightning_modules.ppo import PPOModule
from lightning_modules.rewards import total_reward
from lm.chat import encode_prompts
from lm.generation import stop_tokens, texts_of
from lm.prompt_batch import PromptBatch, Rollout, laid_out


class PlainPPO:
    """The plain loop; what is the same arithmetic on both sides (advantages, clipped losses) is shared.

    Args:
        module: Whose models, value head and options it begins with, each in a copy of its own.
    """

    def __init__(self, module: PPOModule) -> None:
        self.options, self.rollouts, self.rewards = module.ppo, module.rollouts, module.rewards
        self.price = float(module.kl_coefficient)
        self.tokenizer: Any = module.tokenizer
        self.lm, self.head = deepcopy(module.lm).eval(), deepcopy(module.value_head)
        self.reference = deepcopy(module.lm).requires_grad_(False).eval()
        self.clip = module.gradient_clip or float("inf")
        heads = [] if self.head is None else [*self.head.parameters()]
        self.trained = [*self.lm.parameters(), *heads]
        self.optimizer = AdamW(self.trained, lr=module.learning_rate, betas=module.betas, weight_decay=0.0)

    def round(self, batch: PromptBatch) -> Rollout:
        """Answer the prompts, judge the answers, learn from them; the answers."""
        rollout = self.written(batch)
        self.learn(self.judge(rollout, total_reward(self.rewards, batch, rollout.texts)[0]))
        return rollout

    def written(self, batch: PromptBatch) -> Rollout:
        """An answer to each prompt, by the library's own sampling with its cache."""
        stops = stop_tokens(self.lm, self.tokenizer)
        settings = GenerationConfig(
            max_new_tokens=self.rollouts.max_new_tokens,
            do_sample=True,
            temperature=self.rollouts.temperature,
            top_k=0,
            eos_token_id=stops,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        encoded, answers = encode_prompts(self.tokenizer, batch.prompts), []
        for ids in encoded:
            prompt = torch.tensor([ids])
            with torch.no_grad():
                output = self.lm.generate(
                    input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=settings
                )
            answers.append(output[0, len(ids) :].tolist())
        texts = texts_of(self.lm, self.tokenizer, encoded, answers, batch.prompts)
        ended = torch.tensor([answer[-1] in stops for answer in answers])
        return laid_out(encoded, answers, texts, ended, self.tokenizer.pad_token_id)

    def judge(self, rollout: Rollout, scores: Tensor) -> Experience:
        """Advantages and returns, from a pass of policy and reference for each answer by itself."""
        width = rollout.answer_mask.shape[1]
        rows: dict[str, list[Tensor]] = {"log_probs": [], "values": [], "reference": []}
        for ids, targets in zip(rollout.input_ids, rollout.target_mask, strict=True):
            end = int(targets.nonzero()[-1]) + 1
            one, its = ids[:end].unsqueeze(0), targets[:end].unsqueeze(0)
            with torch.no_grad():
                old = plain_predicted(self.lm, self.head, one, its, self.rollouts.temperature)
                before = plain_predicted(self.reference, None, one, its, self.rollouts.temperature)
            found = {"log_probs": old.log_probs, "values": old.values, "reference": before.log_probs}
            for name, value in found.items():
                rows[name].append(nn.functional.pad(value[its], (0, width - int(its.sum()))))
        stacked = {name: torch.stack(values) for name, values in rows.items()}
        old = Predicted(stacked["log_probs"], stacked["values"])
        return judged(rollout, old, stacked["reference"], scores, self.price, self.options)

    def learn(self, experience: Experience) -> None:
        """The passes over the answers, in minibatches."""
        for _ in range(self.options.epochs):
            for index in torch.randperm(len(experience.scores)).split(self.options.minibatch):
                some = experience.rows(index)
                rollout = some.rollout
                new = plain_predicted(
                    self.lm, self.head, rollout.input_ids, rollout.target_mask, self.rollouts.temperature
                )
                laid = Predicted(
                    rollout.by_answer(new.log_probs[rollout.target_mask]),
                    rollout.by_answer(new.values[rollout.target_mask]),
                )
                self.optimizer.zero_grad()
                update_loss(laid, some, self.price, self.options).total.backward()
                clip_grad_norm_(self.trained, self.clip)
                self.optimizer.step()


def plain_predicted(
    lm: PreTrainedModel, head: nn.Module | None, ids: Tensor, targets: Tensor, temperature: float
) -> Predicted:
    """Log-probability of every token (B, T) after what is on its left, and the value predicted there.

    Args:
        lm: The model.
        head: The value head; values are 0 without one.
        ids: Token ids (B, T), padded on the right.
        targets: True on tokens of answers (B, T); what stands before the last of them is no padding.
        temperature: Of the probabilities.
    """
    last = targets.long().cumsum(1).argmax(1, keepdim=True)
    mask = torch.arange(ids.shape[1]) <= last
    output = lm(input_ids=ids, attention_mask=mask.long(), output_hidden_states=head is not None)
    log_probs = (output.logits[:, :-1] / temperature).log_softmax(-1)
    found = nn.functional.pad(log_probs.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1), (1, 0))
    if head is None:
        return Predicted(found, torch.zeros_like(found))
    values = head(output.hidden_states[-1]).squeeze(-1)
    return Predicted(found, nn.functional.pad(values[:, :-1], (1, 0)))
