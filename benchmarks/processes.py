"""Two processes against one on the quickstarts of MEND, SFT and PAS (CPU, float32): `python -m benchmarks.processes`.

Each is trained by one process and by two under DDP and under FSDP2 (gloo), with half the batch in each; MEND and SFT
also go on in two processes from a checkpoint that one process wrote halfway. What one process has trained is evaluated
by one process and by two. Trainings are `--steps` steps long (0: as the recipes have it) and PAS takes `--people`
people. Written to `benchmarks/processes.json`, for each method and strategy:

- `weights_<method>_<strategy>`: largest difference of a trained number
- `metrics_<method>_<strategy>`: largest difference of a figure on the validation data, as a share of it
- `switched_<method>_<strategy>`: as `weights`, of the run that went from one process to two halfway
- `rows_<method>`, `rows_differ_<method>`: rows of the evaluation's tables, and those of them that are not in both
- `figures_<method>`: largest difference of a figure in these rows, as a share of it (of 1, if that is more)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from files.atomic import write_json
from files.errors import InputError, exit_on_input_error
from files.provenance import commit_hash, library_versions
from files.readers import read_json, read_json_lines
from metrics.result_rows import RESULTS

RESULT = Path(__file__).with_name("processes.json")
STRATEGIES = ("ddp", "fsdp2")
WITNESS = "benchmarks.processes.Witness"
HALF, WITNESSED = "checkpoints/half.ckpt", "figures.json"
_LAST = "checkpoints/last.ckpt"
_NOT_COMPARED = frozenset(("seconds", "peak_memory_mb"))


@dataclass(frozen=True)
class Compared:
    """A quickstart that is compared.

    Attributes:
        evaluation: Settings of its evaluation.
        options: What the evaluation does otherwise than these settings.
        batch: Records in a batch of one process; 0 where a batch has no say in what is learnt.
    """

    evaluation: str
    options: Mapping[str, str] = field(default_factory=dict)
    batch: int = 0


METHODS = {
    "mend": Compared(
        "configs/eval/personality_edit/mend.yaml", {"side_effects": "null", "data.init_args.limit": "6"}, batch=8
    ),
    "sft": Compared("configs/eval/persona_dialogue/sft.yaml", {"data.init_args.generate": "false"}, batch=8),
    "pas": Compared(
        "configs/eval/papi/pas.yaml",
        {"side_effects": "null", "baselines": "[]", "data.init_args.people": "6", "data.init_args.batch_size": "3"},
    ),
}


class Witness(Callback):
    """Keeps a checkpoint of the middle of a training, and the figures of its end.

    Args:
        half: The step whose checkpoint is kept.
    """

    def __init__(self, half: int = 0) -> None:
        self.half = half

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Keep the checkpoint behind that step."""
        if trainer.global_step == self.half:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/{HALF}")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the figures down."""
        if trainer.is_global_zero:
            found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
            write_json(f"{trainer.default_root_dir}/{WITNESSED}", found)


@dataclass(frozen=True)
class Comparison:
    """All runs of one quickstart.

    Attributes:
        method: Its name.
        root: Where the runs go.
        steps: How many steps are trained; 0 for as many as the recipe has.
        people: People that PAS is fitted to.
    """

    method: str
    root: Path
    steps: int
    people: int

    def figures(self, strategies: Sequence[str] = STRATEGIES) -> dict[str, Any]:
        """Run everything.

        Args:
            strategies: Names of files in `configs/cluster`.

        Returns:
            The figures of this method.

        Raises:
            InputError: A run has failed.
        """
        one, found = self.train("one", None), {}
        for strategy in strategies:
            two = self.train(strategy, strategy)
            name = f"{self.method}_{strategy}"
            found[f"weights_{name}"] = apart(_state(one), _state(two))
            found[f"metrics_{name}"] = far(read_json(one / WITNESSED), read_json(two / WITNESSED))
            if (one / HALF).is_file():
                switched = self.train(f"{strategy}-switched", strategy, "--ckpt_path", str(one / HALF))
                found[f"switched_{name}"] = apart(_state(one), _state(switched))
        tables = [self.evaluate(one / _LAST, processes) for processes in (1, 2)]
        return found | compared_tables(self.method, *tables)

    def train(self, name: str, strategy: str | None, *more: str) -> Path:
        """Train, in one process or under a strategy in two.

        Args:
            name: Of the run's folder.
            strategy: Name of a file in `configs/cluster`.
            more: Further options.

        Returns:
            The run's folder.
        """
        folder, processes = self.root / self.method / name, 1 if strategy is None else 2
        options = {"trainer.enable_model_summary": "false", "trainer.logger": "false"}
        if METHODS[self.method].batch:
            options["data.init_args.batch_size"] = str(METHODS[self.method].batch // processes)
        if self.method == "pas":
            options["data.init_args.people"] = str(self.people)
        elif self.steps:
            options |= {"trainer.max_steps": str(self.steps), "trainer.max_epochs": "-1"}
            options |= {"trainer.val_check_interval": str(self.steps), "trainer.check_val_every_n_epoch": "null"}
        witness = [f"--trainer.callbacks+={WITNESS}", "--trainer.callbacks.half", str(self.steps // 2)]
        command = ["train.py", "fit", "--resume", "never", "--config", f"configs/{self.method}/quickstart.yaml"]
        _run([*command, *_shared(strategy), *_given(options), *witness, *more], folder, processes)
        return folder

    def evaluate(self, checkpoint: Path, processes: int) -> Path:
        """Evaluate a checkpoint in some processes.

        Args:
            checkpoint: What was trained.
            processes: One or two.

        Returns:
            The folder of the results.
        """
        compared, folder = METHODS[self.method], self.root / self.method / f"evaluated-{processes}"
        command = ["evaluate.py", "--config", compared.evaluation, "--ckpt_path", str(checkpoint)]
        _run([*command, *_shared("ddp" if processes > 1 else None), *_given(compared.options)], folder, processes)
        return folder


def apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference of a number; infinite where the names differ.

    Example:
        >>> apart({"a": torch.tensor([2.0, 1.0])}, {"a": torch.tensor([2.0, 1.5])})
        0.5
    """
    if one.keys() != other.keys():
        return float("inf")
    pairs = [(value, other[name]) for name, value in one.items() if value.is_floating_point() and value.numel()]
    return max((float((first.double() - second.double()).abs().max()) for first, second in pairs), default=0.0)


def far(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The largest difference of a figure, as a share of it (of 1e-6, if that is more); infinite where names differ.

    Example:
        >>> round(far({"loss": 2.0}, {"loss": 2.5}), 6)
        0.25
    """
    if one.keys() != other.keys():
        return float("inf")
    return max((abs(value - other[name]) / max(abs(value), 1e-6) for name, value in one.items()), default=0.0)


def compared_tables(method: str, one: Path, two: Path) -> dict[str, Any]:
    """How far the rows of two evaluations of the same lie apart: those of the results, and those of every record.

    Args:
        method: Its name in the figures.
        one: Folder of one evaluation.
        two: Folder of the other.
    """
    tables = []
    for folder in (one, two):
        figures = {
            json.dumps([row["method"], row["persona"], row["metric"]]): row for row in read_json(folder / RESULTS)
        }
        records = {json.dumps([row["method"], row["id"]]): row for _, row in read_json_lines(folder / "records.jsonl")}
        tables.append(figures | records)
    first, second = tables
    both = first.keys() & second.keys()
    differences = [_difference(first[name], second[name]) for name in both]
    lost = len(first.keys() ^ second.keys())
    return {
        f"rows_{method}": len(first),
        f"rows_differ_{method}": lost + sum(difference == float("inf") for difference in differences),
        f"figures_{method}": max((one for one in differences if one != float("inf")), default=0.0),
    }


def _difference(one: Any, other: Any) -> float:
    """The largest difference of a number, as a share of it or of 1; infinite where anything else differs."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    if numbers:
        return abs(one - other) / max(abs(one), 1.0)
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_difference(one[name], other[name]) for name in one.keys() - _NOT_COMPARED), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((_difference(*pair) for pair in zip(one, other, strict=True)), default=0.0)
    return 0.0 if one == other else float("inf")


def _state(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / _LAST, map_location="cpu", weights_only=True)["state_dict"]
    return state


def _shared(strategy: str | None) -> list[str]:
    return [] if strategy is None else ["--config", f"configs/cluster/{strategy}.yaml"]


def _given(options: Mapping[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _run(command: Sequence[str], folder: Path, processes: int) -> None:
    """One command of this project in so many processes, which Lightning starts."""
    where = {"trainer.accelerator": "cpu", "trainer.devices": str(processes), "trainer.default_root_dir": str(folder)}
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    sys.stdout.write(f"== {folder}\n")
    sys.stdout.flush()
    given = [sys.executable, *command, *_given(where | {"trainer.enable_progress_bar": "false"})]
    done = subprocess.run(given, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise InputError("has failed", file=folder, got=done.stderr[-1500:], fix=f"try {' '.join(given[1:])}")


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and write the figures down."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--steps", type=int, default=20, help="steps of each training; 0: as in the recipe (20)")
    parser.add_argument("--people", type=int, default=6, help="people that PAS is fitted to (6)")
    parser.add_argument("--root", type=Path, default=Path("runs/processes"), help="where the runs go")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go")
    options = parser.parse_args(arguments)
    if "sft" in options.methods and not Path("runs/annotation/mixed.jsonl").is_file():
        raise InputError(
            "does not exist", file="runs/annotation/mixed.jsonl", fix="run `python annotate.py quickstart`"
        )
    figures: dict[str, Any] = {"steps": options.steps, "people": options.people}
    for method in options.methods:
        figures |= Comparison(method, options.root, options.steps, options.people).figures(options.strategies)
    write_json(options.output, figures | {"versions": library_versions(), "commit": commit_hash()})
    sys.stdout.write(f"{json.dumps(figures, indent=2)}\n")


if __name__ == "__main__":
    main()
