"""The first losses of a shipped quickstart, to be compared with the committed ones; run as a program, it records them.

    python -m tests.recipes.trajectory                      every recipe
    python -m tests.recipes.trajectory organism             one method's

Say in the CHANGELOG, under "Figures changed", why they changed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# Lightning 2.6 calls jsonargparse 4.53 by a name that the latter is giving up.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from tests.recipes.stand_ins import FOLDER as STAND_INS

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).with_name("trajectories.json")
STEPS = 20
RUNS = "runs"
ANY_REWARD = {
    "class_path": "lightning_modules.rewards.CallableReward",
    "init_args": {"function": "tests.recipes.stand_ins.count_letters"},
}


class Losses(Callback):
    """Notes the loss of the first batches: as logged under `train/loss`, or as returned by the step; then it stops."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        logged = trainer.callback_metrics.get("train/loss")
        loss = logged if logged is not None else outputs["loss"] if isinstance(outputs, dict) else outputs
        self.values.append(float(loss))
        trainer.should_stop = len(self.values) >= STEPS


def quickstarts() -> dict[str, Path]:
    """The quickstart of every method that learns by gradient (its recipe sets a learning rate), by its folder."""
    paths = sorted(REPOSITORY.glob("configs/*/quickstart.yaml"))
    return {path.parent.name: path for path in paths if "learning_rate:" in path.read_text(encoding="utf-8")}


def stand_ins(config: Path) -> dict[str, str]:
    """What a recipe reads from other runs, replaced: data by small files of the same form, a start by the plain model.

    Where that start was to be rewarded, the plain model is rewarded for something that it says as well.

    Args:
        config: The recipe.

    Returns:
        Option to value; empty where the recipe needs no other run.
    """
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    given = settings["data"].get("init_args", {})
    files = {key: Path(value) for key, value in given.items() if str(value).startswith(f"{RUNS}/")}
    replaced = {f"data.init_args.{key}": str(STAND_INS / path.name) for key, path in files.items()}
    if files and settings["trainer"].get("max_epochs", -1) > 0:
        replaced["trainer.max_epochs"] = str(STEPS)  # they hold fewer batches
    module = settings["model"]["init_args"]
    if module.get("init_from"):
        replaced["model.init_args.init_from"] = "null"
        if module.get("rewards"):
            # What only the trained start says would never be rewarded, and nothing would be learnt.
            replaced["model.init_args.rewards"] = json.dumps([ANY_REWARD])
    return replaced


def losses_of(config: Path, folder: Path) -> list[float]:
    """Train for the first batches of a recipe, in this process and one thread.

    Args:
        config: The recipe.
        folder: Where its run may write.

    Returns:
        One loss per batch.
    """
    from persona_cli import PersonaCLI

    torch.set_num_threads(1)
    options = {
        "default_root_dir": str(folder / "run"),
        "accelerator": "cpu",
        "devices": "1",
        "limit_val_batches": "0",
        "log_every_n_steps": "1",
        "logger": "false",
        "enable_progress_bar": "false",
        "enable_model_summary": "false",
    }
    named = {f"trainer.{key}": value for key, value in options.items()} | stand_ins(config)
    arguments = [part for key, value in named.items() for part in (f"--{key}", value)]
    recorder = f"--trainer.callbacks+={Losses.__module__}.{Losses.__qualname__}"
    here = Path.cwd()
    os.chdir(REPOSITORY)
    try:
        cli = PersonaCLI(["fit", "--config", str(config), *arguments, recorder])
    finally:
        os.chdir(here)
    found = cli.trainer.callbacks  # type: ignore[attr-defined]  # an attribute the Trainer is given from outside
    return next(callback for callback in found if isinstance(callback, Losses)).values


def record(names: list[str]) -> None:
    """Replace the recorded losses of some recipes, or of all."""
    found = quickstarts()
    kept = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    recorded = {name: losses for name, losses in kept.items() if name in found}
    for name in names or list(found):
        with tempfile.TemporaryDirectory() as folder:
            recorded[name] = [round(loss, 6) for loss in losses_of(found[name], Path(folder))]
    lines = (f'  "{name}": {json.dumps(recorded[name])}' for name in sorted(recorded))
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    # Under its full name, because the recipe's run imports this module by it.
    from tests.recipes.trajectory import record as record_by_name

    record_by_name(sys.argv[1:])
