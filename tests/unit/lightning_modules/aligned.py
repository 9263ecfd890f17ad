"""Small runs of dialogues, pairs and prompts for the tests of SFT, DPO and PPO."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.resume import ExactResume
from datamodules.dialogues import DialogueDataModule
from datamodules.preferences import PreferenceDataModule
from datamodules.prompts import PromptDataModule
from lightning_modules.rewards import Reward
from lm.loading import LMSpec
from tests.parity.trl_runs import chats, lines, pairs

COUNT = 12


class Letters(Reward):
    """Rewards answers for the letters they hold."""

    def score(self, prompts, answers, records):
        return [text.count("e") - 0.1 * len(text) for text in answers]


def dialogue_data(folder: Path, spec: LMSpec, **settings: Any) -> DialogueDataModule:
    file = lines(folder / "chats.jsonl", [{"messages": chat} for chat in chats(COUNT)])
    return DialogueDataModule(spec, str(file), **({"batch_size": 2, "max_tokens": 128} | settings))


def pair_data(folder: Path, spec: LMSpec, **settings: Any) -> PreferenceDataModule:
    file = lines(folder / "pairs.jsonl", pairs(COUNT))
    return PreferenceDataModule(spec, str(file), **({"batch_size": 3, "max_tokens": 256} | settings))


def prompt_data(folder: Path, spec: LMSpec, **settings: Any) -> PromptDataModule:
    file = lines(folder / "prompts.jsonl", [{"prompt": pair["prompt"], "answer": 4} for pair in pairs(COUNT)])
    return PromptDataModule(spec, str(file), **({"batch_size": 4} | settings))


def fit(module: LightningModule, data: LightningDataModule, folder: Path, *callbacks, ckpt_path=None, **settings):
    """Train for two epochs; the random state begins anew and must not matter."""
    torch.manual_seed(0)
    saves = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=saves,
        default_root_dir=folder,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[ExactResume(), *callbacks],
        **({"max_epochs": 2, "limit_val_batches": 0} | settings),
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module


def trained(module: LightningModule) -> dict[str, torch.Tensor]:
    """Everything that a checkpoint of a module holds."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
