"""How time grows with the size of the work: people, items, topics, texts of a batch, and layers.

`python -m benchmarks.scaling` (or `make bench-scaling`) writes `benchmarks/scaling.json`. Each curve is a piece of work
at sizes that double; every size is timed several times, in turns with the others.

- `<curve>_slope`: slope of the logarithm of seconds over that of size, the median over rounds; 1 is linear
- `<curve>_last_slope`: the same between the two largest sizes alone, where what every run costs weighs least
- `<curve>_seconds_<size>`: median seconds

The curves: `people`, PAS learns so many people, from their table to the checkpoint; `items`, so many questions of a
questionnaire are answered by comparing options; `topics`, a MEND training step with so many edits, each of a topic of
its own; `batch`, an SFT step with so many rows of 128 tokens; `layers`, an SFT step of a model with so many layers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.figures import CLOCKS, keep, with_interval
from benchmarks.mend import seconds
from benchmarks.scaling_work import CURVES, Curve

RESULT = Path(__file__).with_name("scaling.json")


def slope(sizes: list[int], times: list[float]) -> float:
    """Slope of a line through the logarithms.

    >>> round(slope([1, 2, 4], [0.5, 1.0, 2.0]), 6), round(slope([1, 2, 4], [1.0, 4.0, 16.0]), 6)
    (1.0, 2.0)
    """
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def times_of(curve: Curve, clock: str = "wall") -> list[list[float]]:
    """Seconds of every size by a clock, a list for each round; the smallest is done once before, uncounted."""
    works = {size: curve.work(size) for size in curve.sizes}
    works[min(curve.sizes)]()
    rounds = track(range(curve.rounds), curve.name, console=Console(stderr=True))
    return [[seconds(works[size], CLOCKS[clock]) for size in curve.sizes] for _ in rounds]


def figures_of_curve(curve: Curve, rounds: list[list[float]]) -> dict[str, Any]:
    """The figures of a curve from the seconds of all rounds.

    Args:
        curve: The curve.
        rounds: For each round the seconds of every size.
    """
    sizes = list(curve.sizes)
    found = {
        **with_interval(f"{curve.name}_slope", [slope(sizes, times) for times in rounds]),
        **with_interval(f"{curve.name}_last_slope", [slope(sizes[-2:], times[-2:]) for times in rounds]),
    }
    for size, times in zip(sizes, zip(*rounds, strict=True), strict=True):
        found |= with_interval(f"{curve.name}_seconds_{size}", list(times))
    return found


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", choices=sorted(CURVES), help="measure one curve and print it; writes nothing")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="cpu: seconds of the processor, where others work too"
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    figures: dict[str, Any] = {}
    for name, curve in CURVES.items():
        if options.only in (None, name):
            figures |= figures_of_curve(curve, times_of(curve, options.clock))
    if options.only is None:
        keep(options.output, {**figures, "clock": options.clock}, console)
    else:
        console.print(figures)


if __name__ == "__main__":
    main(sys.argv[1:])
