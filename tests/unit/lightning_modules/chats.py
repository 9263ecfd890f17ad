"""A small training run for the tests of modules and callbacks: a few chats in a file, a tiny random model."""

import json
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.resume import ExactResume
from datamodules.corpus import CorpusDataModule
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec


def chats_file(folder: Path, count: int = 24) -> Path:
    path = folder / "chats.jsonl"
    lines = []
    for number in range(count):
        messages = [
            {"role": "user", "content": f"Say {number}"},
            {"role": "assistant", "content": "the " * (2 + number % 5)},
        ]
        lines.append(json.dumps({"messages": messages}) + "\n")
    path.write_text("".join(lines))
    return path


def run(
    lm_dir: Path, folder: Path, *callbacks, ckpt_path: Path | None = None, batches: int = 8, **settings
) -> SFTModule:
    """Train for some batches, one seed for all; returns the module."""
    torch.manual_seed(0)
    spec = LMSpec(str(lm_dir))
    defaults = {"learning_rate": 1e-2, "warmup_steps": 2}
    module = SFTModule(spec, **(defaults | settings.pop("module", {})))
    data = CorpusDataModule(
        spec,
        file=str(chats_file(folder)),
        batches=batches,
        tokens_per_batch=96,
        widths=[48],
        window=6,
        val_chats=settings.pop("val_chats", 0),
        num_workers=0,
    )
    defaults = {"max_epochs": 1, "gradient_clip_val": 1.0, "accumulate_grad_batches": 2, "limit_val_batches": 0}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        callbacks=[ExactResume(), *callbacks],
        **(defaults | settings),
    )
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return module
