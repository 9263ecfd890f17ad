"""One training under DeepSpeed on CPUs, which Lightning refuses; given a folder, a model, a stage and a method."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import lightning.pytorch.strategies.deepspeed as lightning_deepspeed
import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy

from tests.cli import process_runs


class CPUDeepSpeed(DeepSpeedStrategy):
    """Lightning's strategy without its check for GPUs."""

    def setup_environment(self) -> None:
        DDPStrategy.setup_environment(self)

    @property
    def root_device(self) -> torch.device:
        return torch.device("cpu", 0)


def main(folder: Path, lm_dir: Path, stage: int, method: str) -> None:
    torch.set_num_threads(1)
    os.chdir(process_runs.REPOSITORY)
    lightning_deepspeed._validate_device_index_selection = lambda *_: None
    strategy = ["--trainer.strategy", "tests.cli.deepspeed_run.CPUDeepSpeed", "--trainer.strategy.stage", str(stage)]
    more = ["--trainer.callbacks+=callbacks.whole_weights.WholeWeights", "--trainer.gradient_clip_val", "null"]
    processes = 2 if stage else 1
    given = strategy if stage else []
    process_runs.train(method, folder, lm_dir, processes, "ddp", folder / f"{method}-stage{stage}", *more, *given)
    if stage:
        process_runs.part()


if __name__ == "__main__":
    # Under its full name, by which the strategy is looked up.
    from tests.cli.deepspeed_run import main as run

    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
