"""Runs of TRL's trainers on the tiny model, as oracles: the same records in the same order, in float32."""

from __future__ import annotations

import json
import random

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel

from tests.models import byte_tokenizer, random_model

STEPS, ROWS = 20, 4
SETTINGS = {
    "per_device_train_batch_size": ROWS,
    "max_steps": STEPS,
    "learning_rate": 2e-3,
    "lr_scheduler_type": "constant",
    "bf16": False,
    "gradient_checkpointing": False,
    "use_cpu": True,
    "report_to": "none",
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "max_length": 512,
}
WORDS = ("the", "a song", "in the rain", "or", "nothing", "an older", "singing", "I")


def text(rng, longest):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, longest)))


def chats(count=STEPS * ROWS, seed=0):
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        turns = [{"role": "system", "content": text(rng, 3)}] if rng.random() < 0.5 else []
        for _ in range(rng.randint(1, 3)):
            turns += [{"role": "user", "content": text(rng, 5)}, {"role": "assistant", "content": text(rng, 8)}]
        found.append(turns)
    return found


def pairs(count=STEPS * ROWS, seed=0):
    rng = random.Random(seed)
    found = []
    for chat in chats(count, seed):
        answer = {"role": "assistant", "content": "not " + text(rng, 8)}
        found.append({"prompt": chat[:-1], "chosen": chat[-1:], "rejected": [answer]})
    return found


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


class Recorded:
    """What a run of TRL's left.

    Attributes:
        losses: One per step.
        weights: The trained model's parameters by name.
    """

    def __init__(self, losses: list[float], model: PreTrainedModel) -> None:
        self.losses = losses
        self.weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}


def run_sft(folder, model=None, **settings) -> Recorded:
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(output_dir=str(folder), **SETTINGS, assistant_only_loss=True, **settings)
    data = Dataset.from_list([{"messages": chat} for chat in chats()])
    return _run(SFTTrainer, arguments, data, model or random_model("llama"))


def run_dpo(folder, model=None, **settings) -> Recorded:
    from trl import DPOConfig, DPOTrainer

    arguments = DPOConfig(output_dir=str(folder), **SETTINGS, **settings)
    data = Dataset.from_list(pairs())
    reference = None if model else random_model("llama")
    return _run(DPOTrainer, arguments, data, model or random_model("llama"), ref_model=reference)


def _run(kind, arguments, data, model, **others) -> Recorded:
    torch.manual_seed(0)
    trainer = kind(model=model, args=arguments, train_dataset=data, processing_class=byte_tokenizer(), **others)
    trainer._get_train_sampler = lambda *_: SequentialSampler(trainer.train_dataset)
    losses: list[float] = []
    plain = trainer.compute_loss

    def recorded(*given, **named):
        loss = plain(*given, **named)
        losses.append(float(loss.detach()))
        return loss

    trainer.compute_loss = recorded
    trainer.train()
    return Recorded(losses, trainer.model)
