"""How benchmarks take and keep their figures: medians with intervals, their origin, and a flat file of them."""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from files.atomic import write_json
from files.provenance import commit_hash, library_versions

_CONFIDENCE = 0.95
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


def median_interval(values: Sequence[float], confidence: float = _CONFIDENCE) -> list[float]:
    """An interval for the median, from the order of the values alone, whatever they are distributed like.

    Args:
        values: Measured independently of each other.
        confidence: How likely it holds the median at least; of five values or fewer the widest one holds it less often.

    Returns:
        Its two ends.

    Example:
        >>> median_interval([5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0])
        [2.0, 8.0]
        >>> median_interval([3.0, 1.0, 2.0])
        [1.0, 3.0]
    """
    ordered, count = sorted(values), len(values)
    left_out = 0
    # The median lies below the k-th value where fewer than k of all lie below the median.
    while 2 * sum(math.comb(count, k) for k in range(left_out + 2)) / 2**count <= 1 - confidence:
        left_out += 1
    return [ordered[left_out], ordered[count - 1 - left_out]]


def with_interval(name: str, values: Sequence[float], shift: float = 0.0) -> dict[str, Any]:
    """The median of values and its interval, as two entries of a flat file.

    Args:
        name: Of the figure.
        values: Measured.
        shift: Added to all, such as -1 for overheads.

    Example:
        >>> with_interval("overhead", [1.25, 1.0, 1.5], shift=-1)
        {'overhead': 0.25, 'overhead_ci': [0.0, 0.5]}
    """
    moved = [value + shift for value in values]
    return {name: statistics.median(moved), f"{name}_ci": median_interval(moved)}


def options_of(module: str, docstring: str | None, result: Path, arguments: Sequence[str]) -> argparse.Namespace:
    """The command line of a benchmark of times.

    Args:
        module: Its name.
        docstring: What it says of itself.
        result: Where its figures go.
        arguments: What was given.

    Returns:
        `output`, a path, and `clock`, a name in `CLOCKS`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(docstring or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=result, help="where the figures go (default: %(default)s)")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="cpu: seconds of the processor, where others work too"
    )
    return parser.parse_args(list(arguments))


def machine() -> dict[str, Any]:
    """What the figures were taken on: the processor, its cores and memory, the system, and the threads used."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    totals = [int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(totals[0] * 1024 / 1e9, 1) if totals else None,
        "system": platform.system(),
        "threads": torch.get_num_threads(),
    }


def origin() -> dict[str, Any]:
    """What stands in every file of figures beside them: machine, versions and commit."""
    return {**machine(), "versions": library_versions(), "commit": commit_hash()}


def keep(path: Path, figures: Mapping[str, Any], console: Console) -> None:
    """Write figures with their origin, and print them.

    Args:
        path: Where to.
        figures: A number under each name.
        console: Where they are printed.
    """
    write_json(path, {**figures, **origin()})
    for name, value in figures.items():
        console.print(f"{name:>32} {value:.4g}" if isinstance(value, float) else f"{name:>32} {value}")


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines() if Path(file).is_file() else []
