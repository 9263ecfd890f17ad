"""Records one update of the PPO trainer of trl 1.12.0, the last release that has one.

    pip install --no-deps --target FOLDER trl==1.12.0
    PYTHONPATH=FOLDER:. python -m tests.parity.record_ppo

The environment needs what the dev extra installs and pandas. It writes `ppo_trl_1_12.json`. The policy is the tiny
random Llama of the tests, the reference another one of its shape. The critic shares the policy's blocks, as a value
head does, and its last layer is the first row of the reference's output layer; the reward is read off the reference in
the same way. In `full` no answer ends early, so that masks play no part; in `ragged` some end at a token they hold.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.models import byte_tokenizer, random_model

FIXTURE = Path(__file__).with_name("ppo_trl_1_12.json")
POLICY, REFERENCE, ANSWERS, LENGTH = 0, 5, 8, 12
SETTINGS = {
    "num_ppo_epochs": 2,
    "num_mini_batches": 2,
    "learning_rate": 1e-3,
    "kl_coef": 0.2,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.5,
    "gamma": 0.98,
    "lam": 0.9,
}
SAMPLED = 8
# A token that some of the recorded answers hold in their middle.
STOP = 136


class Critic(nn.Module):
    """A value or reward model in the form that trl expects: some model's blocks with a layer of one output."""

    base_model_prefix = "model"

    def __init__(self, blocks: nn.Module, score: torch.Tensor) -> None:
        super().__init__()
        self.model = blocks
        self.score = nn.Linear(score.shape[0], 1, bias=False)
        self.score.weight = nn.Parameter(score.clone().unsqueeze(0))


def score_row() -> torch.Tensor:
    """The first weights of the value head and of the reward."""
    return random_model("llama", seed=REFERENCE).get_output_embeddings().weight[7].detach()


def prompts() -> list[list[int]]:
    """Prompts of different length, as token ids."""
    tokenizer = byte_tokenizer()
    texts = ["the song", "in the rain I sing", "or", "an other thing", "I", "the the the", "sing in the", "a rain"]
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def sample(weight: torch.Tensor) -> list[float]:
    """Some values of a weight, and their root mean square."""
    flat = weight.detach().flatten()
    places = torch.linspace(0, len(flat) - 1, SAMPLED).long()
    return [*flat[places].tolist(), float(flat.square().mean().sqrt())]


def record(stop: int | None) -> dict[str, Any]:
    """Run one update and note what went on inside."""
    import trl.experimental.ppo.ppo_trainer as trainer_file
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    seen: dict[str, list[Any]] = {"whitened": [], "rewards": [], "orders": [], "log_probs": []}
    policy, reference = random_model("llama", seed=POLICY), random_model("llama", seed=REFERENCE)
    critic = Critic(policy.model, score_row())
    judge = Critic(random_model("llama", seed=REFERENCE).model, score_row())
    whiten, reward = trainer_file.masked_whiten, trainer_file.get_reward
    select, generate = trainer_file.selective_log_softmax, trainer_file.batch_generation
    permutation = trainer_file.np.random.permutation

    def whitening(values, mask, shift_mean=True):
        result = whiten(values, mask, shift_mean)
        seen["whitened"].append({"raw": values.tolist(), "mask": mask.tolist(), "result": result.tolist()})
        return result

    def rewarding(model, rows, pad, context):
        result = reward(model, rows, pad, context)
        kind = "values" if model is critic or model is trainer.model.value_model else "scores"
        seen["rewards"].append([kind, result[0].squeeze(-1).tolist() if kind == "values" else result[1].tolist()])
        return result

    def selecting(*arguments, **named):
        result = select(*arguments, **named)
        seen["log_probs"].append(result.tolist())
        return result

    def generating(*arguments, **named):
        rows, logits = generate(*arguments, **named)
        seen["rows"] = rows.tolist()
        return rows, logits

    def ordering(count):
        seen["orders"].append(permutation(count).tolist())
        return trainer_file.np.array(seen["orders"][-1])

    with tempfile.TemporaryDirectory() as folder:
        arguments = PPOConfig(
            output_dir=folder, per_device_train_batch_size=ANSWERS, gradient_accumulation_steps=1,
            total_episodes=ANSWERS, response_length=LENGTH, temperature=1.0, stop_token_id=stop, use_cpu=True,
            bf16=False,
            gradient_checkpointing=False, num_sample_generations=0, report_to="none", save_strategy="no", seed=3,
            lr_scheduler_type="constant", disable_tqdm=True, logging_steps=1, **SETTINGS,
        )  # fmt: skip
        data = Dataset.from_list([{"input_ids": ids} for ids in prompts()])
        tokenizer = byte_tokenizer()
        tokenizer.padding_side = "left"
        trainer = PPOTrainer(arguments, tokenizer, policy, reference, judge, data, critic)
        trainer_file.masked_whiten, trainer_file.get_reward = whitening, rewarding
        trainer_file.selective_log_softmax, trainer_file.batch_generation = selecting, generating
        trainer_file.np.random.permutation = ordering
        try:
            trainer.train()
        finally:
            trainer_file.masked_whiten, trainer_file.get_reward = whiten, reward
            trainer_file.selective_log_softmax, trainer_file.batch_generation = select, generate
            trainer_file.np.random.permutation = permutation
    return _noted(seen, trainer, policy, critic)


def _noted(seen: dict[str, Any], trainer: Any, policy: nn.Module, critic: Critic) -> dict[str, Any]:
    rows, width = seen["rows"], len(seen["rows"][0]) - LENGTH
    last = [entry for entry in trainer.state.log_history if "loss/policy_avg" in entry][-1]
    weights = {name: sample(weight) for name, weight in policy.named_parameters()}
    return {
        "prompts": [[token for token in row[:width] if token != 0] for row in rows],
        "answers": [row[width:] for row in rows],
        "log_probs": seen["log_probs"][0],
        "reference": seen["log_probs"][1],
        "values": [row[width - 1 : -1] for row in next(found for kind, found in seen["rewards"] if kind == "values")],
        "scores": next(found for kind, found in seen["rewards"] if kind == "scores"),
        "advantages": seen["whitened"][0]["raw"],
        "whitened": seen["whitened"][0]["result"],
        "mask": seen["whitened"][0]["mask"],
        "orders": seen["orders"],
        "losses": {name: last[name] for name in ("loss/policy_avg", "loss/value_avg", "policy/clipfrac_avg")},
        "kl": last["objective/kl"],
        "weights": {**weights, "value_head": sample(critic.score.weight)},
    }


def main() -> None:
    """Record both runs."""
    import trl

    if trl.__version__ != "1.12.0":
        raise SystemExit(f"expected trl 1.12.0 in PYTHONPATH, found {trl.__version__}")
    runs = {"full": record(None), "ragged": record(STOP)}
    if any(0 in answer for answer in runs["full"]["answers"]):
        raise SystemExit("an answer contains the padding token; take another seed")
    content = {"made_with": f"trl {trl.__version__}, torch {torch.__version__}", "settings": SETTINGS, "runs": runs}
    FIXTURE.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
