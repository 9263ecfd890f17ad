"""Steps of SFT and DPO against TRL's trainers: time, memory, and whether both compute the same loss.

`python -m benchmarks.train` (or `make bench-train`) writes `benchmarks/train.json`. A step is loss, gradients, clipping
and AdamW on the same batch of the same random model of about 100 million parameters, in float32. Speeds are in tokens
of the conversations per second, ours over TRL's, the median of interleaved pairs of steps in one process, each
comparison in a new one, since what an earlier comparison leaves of the allocator's habits changes the next:

- `sft_vs_trl`: the lower of full training and LoRA (`sft_full_vs_trl`, `sft_lora_vs_trl`), a conversation per row
- `sft_packed_vs_trl`: full training with packing, against TRL without
- `dpo_vs_trl`: the lower of full training and LoRA, each side with its usual reference: a copy, or the adapter off
- `dpo_cached_vs_uncached`: ours with the reference worked out beforehand over ours with a copy of the model

`<name>_memory` is the peak of resident memory of two of our steps over that of two of TRL's, each in a process of its
own, above what is held before the first: gradients and the optimizer's moments count. `max_loss_diff` is the largest
difference of the losses of the first step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from benchmarks.memory import give_memory_back, peak_above
from benchmarks.mend import seconds
from benchmarks.training_sides import CONTESTS, Contest, contest
from files.atomic import write_json
from files.provenance import commit_hash, library_versions

RESULT = Path(__file__).with_name("train.json")
PAIRS = 5
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
HEADLINES = {
    "sft_vs_trl": ("sft_full", "sft_lora"),
    "sft_packed_vs_trl": ("sft_packed",),
    "dpo_vs_trl": ("dpo_full", "dpo_lora"),
    "dpo_cached_vs_uncached": ("dpo_cached",),
}


def speeds(both: Contest, clock: Clock, console: Console) -> dict[str, float]:
    """Tokens per second of both sides, their ratio and the difference of their first losses."""
    first = abs(both.ours() - both.theirs())
    times = [
        (seconds(both.theirs, clock), seconds(both.ours, clock))
        for _ in track(range(PAIRS), both.name, console=console)
    ]
    return {
        "ratio": statistics.median(theirs / ours for theirs, ours in times),
        "ours": both.tokens / statistics.median(ours for _, ours in times),
        "theirs": both.tokens / statistics.median(theirs for theirs, _ in times),
        "difference": first,
    }


def peak_of(name: str, side: str) -> float:
    """Peak memory of one side's first two steps, in mebibytes, measured in this process.

    The second has the optimizer's moments beside its activations; measured after the first, these would count as held.
    """
    give_memory_back()
    both = contest(name, only=side)
    step = both.ours if side == "ours" else both.theirs
    return peak_above(lambda: (step(), step()))


def measured(*options: str) -> Any:
    """What this program prints in a process of its own, given options that have it measure one thing."""
    command = [sys.executable, "-m", "benchmarks.train", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)  # noqa: S603


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--speeds-of", choices=CONTESTS, metavar="CONTEST", help="only measure time, and print it")
    parser.add_argument("--peak-of", nargs=2, metavar=("CONTEST", "SIDE"), help="only measure memory, and print it")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="cpu: seconds of the processor, where others work too"
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    if options.speeds_of or options.peak_of:
        one = options.speeds_of and speeds(contest(options.speeds_of), CLOCKS[options.clock], console)
        Console(soft_wrap=True).print_json(data=one or peak_of(*options.peak_of))
        return
    figures: dict[str, object] = {}
    ratios: dict[str, float] = {}
    differences = []
    for name in CONTESTS:
        found = measured("--speeds-of", name, "--clock", options.clock)
        ratios[name] = found["ratio"]
        differences.append(found["difference"])
        figures |= {f"{name}_tokens_per_second": found["ours"], f"{name}_tokens_per_second_other": found["theirs"]}
    for name, sides in HEADLINES.items():
        figures[name] = min(ratios[side] for side in sides)
    figures |= {f"{name}_vs_trl": ratios[name] for name in CONTESTS if name.endswith(("full", "lora"))}
    for name in track(CONTESTS, "memory", console=console):
        peaks = {side: measured("--peak-of", name, side) for side in ("ours", "theirs")}
        figures[f"{name}_peak_mb"] = peaks["ours"]
        figures[f"{name}_memory"] = peaks["ours"] / peaks["theirs"]
    figures |= {
        "max_loss_diff": max(differences),
        "clock": options.clock,
        "threads": torch.get_num_threads(),
        "versions": library_versions(),
        "commit": commit_hash(),
    }
    write_json(options.output, figures)
    for label, value in figures.items():
        console.print(f"{label:>36} {value:.4g}" if isinstance(value, float) else f"{label:>36} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
