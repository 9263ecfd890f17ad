"""Memory over a thousand training steps of SFT and of MEND: whether it grows.

`python -m benchmarks.long_runs` (or `make bench-steady`) writes `benchmarks/long_runs.json`, for `sft` and for `mend`:

- `<method>_mb_100`, `<method>_mb_1000`: resident memory of the process after that many steps, in mebibytes
- `<method>_growth_mb`: what a line through the memory after every 50 steps, from the 100th on, rises by over 900 steps
- `<method>_ratio`: memory at the last step over that at the 100th; 1 is flat

The trainings are those of `train.py`, with their logger and a checkpoint every 250 steps, on a random model of two
layers, so that whatever a step leaves behind shows beside little else; MEND's are edits of a hundred topics. Each is a
process of its own, whose allocator gives freed memory back to the system.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.progress import track

from benchmarks.beside import bare_trainer
from benchmarks.figures import keep
from benchmarks.memory import give_memory_back, resident
from datamodules.corpus import CorpusDataModule
from datamodules.personality_edit import EditDataModule
from editors.hypernetwork import TransformOptions
from files.atomic import write_json
from lightning_modules.mend import MENDModule
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec

RESULT = Path(__file__).with_name("long_runs.json")
TOKENIZER, EDITS = "assets/tiny-ocean", "assets/data/personality_edit"
METHODS = ("sft", "mend")
STEPS, FIRST, EVERY, SAVED = 1000, 100, 50, 250
# Texts are cut into tokens when they are first needed, and kept; of so few topics, all are before the steps that count.
TOPICS = 100


class Memory(Callback):
    """Notes what the process holds after every so many steps.

    Attributes:
        held: Mebibytes by step.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.held: dict[int, float] = {}

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:  # noqa: ARG002 - a Lightning hook
        """Look, after what only waits to be collected has gone."""
        if trainer.global_step % self.every == 0:
            gc.collect()
            self.held[trainer.global_step] = resident()


def tiny_model(folder: Path) -> LMSpec:
    """A random model of two layers with the built-in model's tokenizer."""
    settings = json.loads(Path(TOKENIZER, "config.json").read_text(encoding="utf-8"))
    smaller = {"hidden_size": 32, "head_dim": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    write_json(folder / "config.json", {**settings, **smaller, "intermediate_size": 64, "num_hidden_layers": 2})
    return LMSpec(str(folder), random_init=True, tokenizer=TOKENIZER)


def method_of(name: str, spec: LMSpec, steps: int) -> tuple[LightningModule, LightningDataModule]:
    """A module and the data that it is trained on."""
    if name == "sft":
        data = CorpusDataModule(spec, batches=steps, tokens_per_batch=256, widths=[128, 1024], window=256, seed=1)
        return SFTModule(spec), data
    network = TransformOptions(rank=16)
    module = MENDModule(spec, layers=[1], weights=["attention_out"], transform=network, learning_rate=1e-5)
    return module, EditDataModule(spec, EDITS, batch_size=2, train_opinions=1, limit=TOPICS, seed=1)


def held(name: str, steps: int = STEPS, every: int = EVERY) -> dict[int, float]:
    """What a training of so many steps holds, by step, in this process."""
    warnings.filterwarnings("ignore", module="lightning")
    give_memory_back()
    memory = Memory(every)
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        module, data = method_of(name, tiny_model(folder / "lm"), steps)
        trainer = bare_trainer(
            steps,
            logger=TensorBoardLogger(folder),
            enable_checkpointing=True,
            callbacks=[memory, ModelCheckpoint(folder, every_n_train_steps=SAVED, save_last=True)],
        )
        trainer.fit(module, datamodule=data)
    return memory.held


def growth(of: dict[int, float], first: int) -> dict[str, float]:
    """The figures of one training.

    Args:
        of: Mebibytes by step.
        first: The first step that counts; before it, memory is asked for.

    Example:
        >>> growth({1: 50.0, 100: 100.0, 200: 100.0, 300: 101.0}, first=100)
        {'mb_100': 100.0, 'mb_300': 101.0, 'growth_mb': 1.0, 'ratio': 1.01}
    """
    steps = [step for step in sorted(of) if step >= first]
    start, end = steps[0], steps[-1]
    slope = np.polyfit(steps, [of[step] for step in steps], 1)[0]
    return {
        f"mb_{start}": of[start],
        f"mb_{end}": of[end],
        "growth_mb": round(float(slope) * (end - start), 6),
        "ratio": of[end] / of[start],
    }


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.long_runs", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--run", choices=METHODS, help="only train this one, and print its memory by step")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.run:
        Console(soft_wrap=True).print(json.dumps(held(options.run)))
        return
    console = Console(stderr=True)
    figures: dict[str, Any] = {"steps": STEPS}
    for name in track(METHODS, "trainings of a thousand steps", console=console):
        command = [sys.executable, "-m", "benchmarks.long_runs", "--run", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
        found = {int(step): value for step, value in json.loads(done.stdout.splitlines()[-1]).items()}
        figures |= {f"{name}_{key}": value for key, value in growth(found, FIRST).items()}
    keep(options.output, figures, console)


if __name__ == "__main__":
    main(sys.argv[1:])
