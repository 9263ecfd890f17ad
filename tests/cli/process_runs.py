"""Trainings and an evaluation of small models, by one process or, run as a program in each, by several.

RANK=0 WORLD_SIZE=2 ... python -m tests.cli.process_runs FOLDER MODEL
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from tests.editing import opinion_record, write_edit_data
from tests.papi import write_papi
from tests.parity.trl_runs import lines, pairs
from tests.traits import write_trait
from tests.unit.lightning_modules.chats import chats_file

REPOSITORY = Path(__file__).resolve().parents[2]
QUIET = (
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false", "--trainer.logger", "false"),
)
STRATEGIES = ("ddp", "fsdp2")
METHODS = ("sft", "dialogues", "dpo", "mend", "pas")
# Halfway.
CUT = 3


class StopBehind(Callback):
    """Saves a checkpoint right behind an optimizer step and is interrupted.

    Args:
        step: The step.
    """

    def __init__(self, step: int = CUT) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/checkpoints/last.ckpt")
            raise KeyboardInterrupt


def sft(folder: Path, lm_dir: Path, processes: int) -> list[str]:
    # One process takes two batches to a step, or each of two processes one: the same ones.
    return [
        *("--config", "configs/organism/quickstart.yaml", "--model.lm.name", str(lm_dir)),
        *("--model.lm.random_init", "false", "--data.num_workers", "0", "--data.file", str(folder / "chats.jsonl")),
        *("--data.widths", "[64]", "--data.tokens_per_batch", "128", "--data.window", "8", "--data.val_chats", "5"),
        *("--data.batches", "30", "--trainer.max_steps", "6", "--trainer.max_epochs", "-1"),
        *("--trainer.accumulate_grad_batches", str(2 // processes), "--trainer.val_check_interval", "3"),
    ]


def dialogues(folder: Path, lm_dir: Path, processes: int) -> list[str]:
    return [
        *("--config", "configs/sft/quickstart.yaml", "--model.lm.name", str(lm_dir), "--model.warmup_steps", "0"),
        *("--data.file", str(folder / "chats.jsonl"), "--data.val_file", str(folder / "few" / "chats.jsonl")),
        *("--data.packing", "false", "--data.batch_size", str(4 // processes), "--trainer.max_epochs", "1"),
    ]


def dpo(folder: Path, lm_dir: Path, processes: int) -> list[str]:
    return [
        *("--config", "configs/dpo/quickstart.yaml", "--model.lm.name", str(lm_dir), "--model.init_from", "null"),
        *("--model.reference", "copy", "--model.objective.sft_weight", "0", "--model.warmup_steps", "0"),
        *("--data.file", str(folder / "pairs.jsonl"), "--data.val_file", str(folder / "held-out.jsonl")),
        *("--data.batch_size", str(4 // processes), "--trainer.max_epochs", "1"),
    ]


def mend(folder: Path, lm_dir: Path, processes: int) -> list[str]:
    return [
        *("--config", "configs/mend/quickstart.yaml", "--model.lm.name", str(lm_dir), "--model.layers", "[1]"),
        *("--model.transform.rank", "8", "--data.data_dir", str(folder / "edits")),
        *("--data.batch_size", str(4 // processes), "--trainer.max_steps", "4", "--trainer.val_check_interval", "1"),
    ]


def pas(folder: Path, lm_dir: Path, processes: int) -> list[str]:
    return [
        *("--config", "configs/pas/quickstart.yaml", "--model.lm.name", str(lm_dir), "--model.heads", "3"),
        *("--model.described_layers", "[1]"),  # the small model has two
        *("--data.data_dir", str(folder / "papi"), "--data.batch_size", "2"),
    ]


def train(name: str, folder: Path, lm_dir: Path, processes: int, strategy: str, root: Path, *more: str) -> None:
    """One training, as `train.py` is told to."""
    from persona_cli import PersonaCLI

    recipes = {"sft": sft, "dialogues": dialogues, "dpo": dpo, "mend": mend, "pas": pas}
    settings = recipes[name](folder, lm_dir, processes)
    sharing = ["--config", f"configs/cluster/{strategy}.yaml"] if processes > 1 else []
    given = [*settings, *sharing, *QUIET, "--trainer.devices", str(processes), "--trainer.default_root_dir", str(root)]
    cli = PersonaCLI(["fit", *given, *more])
    if cli.trainer.is_global_zero:
        metrics = {key: float(value) for key, value in cli.trainer.callback_metrics.items()}
        (root / "metrics.json").write_text(json.dumps(metrics))


def evaluate(folder: Path, lm_dir: Path, processes: int, root: Path) -> None:
    """One evaluation, as `evaluate.py` is told to."""
    from eval_cli import EvalCLI

    data = ["--model.lm.name", str(lm_dir), "--data.data_dir", str(folder / "trait"), "--data.batch_size", "3"]
    sharing = ["--config", "configs/cluster/ddp.yaml"] if processes > 1 else []
    recipe = ["--config", "configs/eval/trait/simple_prompt.yaml", *sharing, "--side_effects", "null"]
    EvalCLI(
        [*recipe, *data, *QUIET, "--trainer.devices", str(processes), "--trainer.default_root_dir", str(root)]
    ).run()


def steer(folder: Path) -> None:
    """How far the logits of steered models move when their weights are shared out, for every kind of intervention."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from interventions.places import places_of
    from tests.models import ARCHITECTURES, random_model
    from tests.unit.interventions.steered import KINDS, batch, logits, texts

    given, mesh = batch(texts(), "left"), init_device_mesh("cpu", (2,))
    moved = {}
    for arch in ARCHITECTURES:
        model = random_model(arch)
        found = places_of(model)
        steered = {name: kind(found) for name, kind in KINDS.items()}
        alone = {name: logits(model, given, intervention) for name, intervention in steered.items()}
        for layer in found.layers:
            fully_shard(found.sites.block(layer), mesh=mesh)
        fully_shard(model, mesh=mesh)
        for name, intervention in steered.items():
            moved[f"{arch}/{name}"] = float((logits(model, given, intervention) - alone[name]).abs().max())
    if torch.distributed.get_rank() == 0:
        (folder / "steering.json").write_text(json.dumps(moved))


def write_data(folder: Path) -> None:
    """What the runs read."""
    # What is validated on is as much as two processes cannot share out evenly.
    chats_file(folder)
    (folder / "few").mkdir()
    chats_file(folder / "few", 5)
    write_edit_data(folder / "edits", 8)
    few = [opinion_record(number) for number in range(5)]
    for record in few:
        del record["target_per"]
    (folder / "edits" / "val.json").write_text(json.dumps(few))
    write_papi(folder / "papi", people=5)
    write_trait(folder / "trait")
    lines(folder / "pairs.jsonl", pairs(12))
    lines(folder / "held-out.jsonl", pairs(5))


def main(folder: Path, lm_dir: Path) -> None:
    """All runs of two processes: every method under every strategy, one begun by a single process, an evaluation."""
    torch.set_num_threads(1)
    os.chdir(REPOSITORY)
    for strategy in STRATEGIES:
        for name in METHODS:
            train(name, folder, lm_dir, 2, strategy, folder / f"{name}-{strategy}")
        half = folder / "half" / "checkpoints" / "last.ckpt"
        train("sft", folder, lm_dir, 2, strategy, folder / f"switched-{strategy}", "--ckpt_path", str(half))
    evaluate(folder, lm_dir, 2, folder / "trait-ddp")
    steer(folder)
    part()


def part() -> None:
    """End the connection: gloo's threads, left to the end of the program, now and then abort it."""
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
