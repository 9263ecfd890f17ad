"""Compares what `benchmarks.fit` says with measured peak memory, on recipes of the built-in model (CPU, Linux).

`python -m benchmarks.fit_check` writes `benchmarks/fit.json`: for each recipe the megabytes of both and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fit import merged_settings
from benchmarks.fit_recipe import needed
from benchmarks.memory import give_memory_back, peak_above
from files.atomic import write_json
from files.errors import exit_on_input_error

RESULTS = Path("benchmarks/fit.json")
MEGABYTE, MEBIBYTE = 1e6, 2.0**20


@dataclass(frozen=True)
class Check:
    """A recipe that is run for a few steps.

    Attributes:
        recipe: Its file.
        options: What is set otherwise, by dotted key, in the recipe and beside it.
    """

    recipe: str
    options: dict[str, object]


CHECKS = {
    "sft": Check("configs/organism/quickstart.yaml", {"data.init_args.tokens_per_batch": 8192}),
    "sae": Check("configs/sae/quickstart.yaml", {"data.init_args.tokens_per_batch": 8192}),
    # All opinions of eight records, so that there are enough tokens to fill a chunk.
    "mend": Check(
        "configs/mend/quickstart.yaml",
        {"data.init_args.train_opinions": None, "model.init_args.loss.chunk_tokens": 2048},
    ),
}
_STEPS = 2
_SHORT = {
    "trainer.max_steps": _STEPS,
    "trainer.max_epochs": -1,
    "trainer.val_check_interval": _STEPS,
    "trainer.check_val_every_n_epoch": None,
    "trainer.limit_val_batches": 1,
    "trainer.accelerator": "cpu",
    "trainer.logger": False,
    "trainer.enable_progress_bar": False,
    "trainer.enable_model_summary": False,
    "trainer.callbacks": None,
}


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every recipe in a process of its own, and write the comparison down.

    Args:
        arguments: The command line; that of the process where it is left out.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_check", description=__doc__)
    parser.add_argument("--measure", choices=sorted(CHECKS), help="measure one recipe in this process and print it")
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args(arguments)
    if options.measure is not None:
        sys.stdout.write(json.dumps(measured(CHECKS[options.measure])))
        return
    found: dict[str, float] = {}
    for name, check in CHECKS.items():
        command = [sys.executable, "-m", "benchmarks.fit_check", "--measure", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        found[f"{name}_measured_mb"] = json.loads(done.stdout.splitlines()[-1])
        found[f"{name}_needed_mb"] = predicted(check)
        found[f"{name}_ratio"] = found[f"{name}_needed_mb"] / found[f"{name}_measured_mb"]
    write_json(options.out, {name: round(value, 4) for name, value in found.items()})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def predicted(check: Check) -> float:
    """Megabytes that the formula says, without libraries and spare.

    Args:
        check: The recipe.
    """
    settings = merged_settings([check.recipe])
    for key, value in check.options.items():
        *path, last = key.split(".")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return needed(settings).total / MEGABYTE


def measured(check: Check) -> float:
    """Megabytes that two steps and a validation batch held at most, above what the process holds after such a run.

    The first run loads libraries and starts what stays; only the second is measured.

    Args:
        check: The recipe.
    """
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    give_memory_back()
    _run(check)
    return peak_above(lambda: _run(check)) * MEBIBYTE / MEGABYTE


def _run(check: Check) -> None:
    from persona_cli import PersonaCLI

    settings = check.options | _SHORT
    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    options = [part for key, value in given.items() for part in (f"--{key}", value)]
    with tempfile.TemporaryDirectory() as folder:
        where = ["--trainer.default_root_dir", folder, "--resume", "never"]
        PersonaCLI(["fit", "--config", check.recipe, *options, *where])


if __name__ == "__main__":
    main()
