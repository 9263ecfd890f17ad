"""How long the commands take to answer a call for help, in processes of their own.

`python -m benchmarks.cold_start` (or `make bench-start`) writes `benchmarks/cold_start.json`: seconds of the wall clock
until a command has ended, the median of several calls in turns, after one that is not counted:

- `train_help`, `evaluate_help`, `annotate_help`, `export_help`, `chat_help`: `python <command>.py --help`
- `train_options`: `python train.py fit --help`, every option, which loads all libraries and modules
- `libraries`: an interpreter that imports torch, transformers and lightning and does nothing with them
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.figures import keep, with_interval

RESULT = Path(__file__).with_name("cold_start.json")
REPOSITORY = Path(__file__).resolve().parents[1]
CALLS = 5
COMMANDS: dict[str, Sequence[str]] = {
    **{f"{name}_help": (f"{name}.py", "--help") for name in ("train", "evaluate", "annotate", "export", "chat")},
    "train_options": ("train.py", "fit", "--help"),
    "libraries": ("-c", "import torch, transformers, lightning.pytorch"),
}


def seconds_of(arguments: Sequence[str]) -> float:
    """Seconds until `python <arguments>` has ended, in the repository.

    Raises:
        CalledProcessError: It has ended with an error.
    """
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)  # noqa: S603
    return time.perf_counter() - started


def measured(commands: dict[str, Sequence[str]] | None = None, calls: int = CALLS) -> dict[str, Any]:
    """Seconds of every command.

    Args:
        commands: By name; `COMMANDS` where left out.
        calls: How often each is timed.
    """
    commands = COMMANDS if commands is None else commands
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in track(range(calls + 1), "calls of every command", console=Console(stderr=True)):
        for name, arguments in commands.items():
            found = seconds_of(arguments)
            if number:  # the first one reads files that the system then has at hand
                times[name].append(found)
    figures: dict[str, Any] = {}
    for name, some in times.items():
        figures |= with_interval(name, some)
    return figures


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_start", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    keep(options.output, measured(), Console(stderr=True))


if __name__ == "__main__":
    main(sys.argv[1:])
