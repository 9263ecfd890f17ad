"""What steering inside the model comes to: `python -m benchmarks.steering`, the end of `make matrix`.

Reads `runs/matrix` and `runs/strength` (or the folders named) and writes `benchmarks/steering.json`. For each of NPTI,
SAE and RepE, as `<method>_<figure>`:

- `trait_score_moved`, `trait_expression_moved`: Big Five traits that the method moves both ways: at either end the
  interval of the trait lies beyond that of the model as it is, and beyond that of the control
- `trait_score_still`, `trait_expression_still`: the ends where it does not
- `coherent_rate`: share of answers that read well before and after
- `best_strength`, `best_expression`: where the strength curve is highest, and its height there
- `drop`: the largest fall of the curve from one strength to the next before it is highest, 0 where it only rises, and
  `drops`, the falls before the highest point that are surer than chance (the paired interval is below 0)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from files.atomic import write_json
from files.errors import exit_on_input_error
from metrics.result_rows import ALL, ResultRow, find_results, read_results
from personas.traits import BIG_FIVE
from report.sweep_steps import STEP
from report.sweeps import swept

RESULT = Path(__file__).with_name("steering.json")
FOLDERS = ("runs/matrix", "runs/strength")
CONTROLS = {"npti": "random_neurons", "sae": "random_direction", "repe": "random_direction"}
MOVED = {"trait_score": "trait", "trait_expression": "personality_bench"}
CURVE = "trait_expression"
BASE = "none"
Found = Mapping[tuple[str, str, str], ResultRow]


def steering_figures(rows: Sequence[ResultRow]) -> dict[str, Any]:
    """The figures of all methods that there are rows of.

    Args:
        rows: Of a matrix, and of sweeps over strengths.

    Returns:
        Figures by name, flat.
    """
    found = {(row.benchmark, row.method, row.metric): row for row in rows if not swept(row)}
    figures: dict[str, Any] = {}
    for method, control in CONTROLS.items():
        mine: dict[str, Any] = {}
        for metric, benchmark in MOVED.items():
            still = still_ends(found, benchmark, method, control, metric)
            if still is not None:
                mine[f"{metric}_moved"] = len(BIG_FIVE) - len({end[:-1] for end in still})
                mine[f"{metric}_still"] = still
        coherent = found.get((MOVED[CURVE], method, "coherent_rate"))
        mine |= {} if coherent is None else _valued("coherent_rate", coherent)
        figures |= {f"{method}_{name}": value for name, value in {**mine, **curve_figures(rows, method)}.items()}
    return figures


def still_ends(found: Found, benchmark: str, method: str, control: str, metric: str) -> list[str] | None:
    """The ends of traits that a method does not move to their side of the base model and of its control.

    Args:
        found: Rows by benchmark, method and metric.
        benchmark: The benchmark.
        method: The method.
        control: Its control.
        metric: A figure that grows with the trait.

    Returns:
        Such as `["openness-"]`; None where a figure is missing.
    """
    still = []
    for trait in BIG_FIVE:
        for end in "+-":
            rows = [found.get((benchmark, who, f"{metric}/{trait}{end}")) for who in (method, BASE, control)]
            intervals = [
                (row.ci_low, row.ci_high)
                for row in rows
                if row is not None and row.ci_low is not None and row.ci_high is not None
            ]
            if len(intervals) < len(rows):
                return None
            (low, high), *others = intervals
            if not all(low > above if end == "+" else high < below for below, above in others):
                still.append(f"{trait}{end}")
    return still


def curve_figures(rows: Sequence[ResultRow], method: str) -> dict[str, Any]:
    """Where the strength curve of a method is highest, and how it falls before; nothing without a curve.

    Args:
        rows: With those of a sweep of `strength`.
        method: The method.
    """
    curve, steps = (_over_strength(rows, method, f"{CURVE}{part}") for part in ("", STEP))
    values = sorted(curve)
    if len(values) < 2:
        return {}
    best = max(values, key=lambda value: curve[value].value or 0.0)
    before = [steps[value] for value in values if value <= best and value in steps]
    worst = min(before, key=lambda row: row.value or 0.0, default=None)
    figures = {"best_strength": best, **_valued("best_expression", curve[best])}
    if worst is not None and (worst.value or 0.0) < 0:
        figures |= _valued("drop", worst)
    elif before:
        figures["drop"] = 0.0
    return {**figures, "drops": sum(row.ci_high is not None and row.ci_high < 0 for row in before)}


def _over_strength(rows: Sequence[ResultRow], method: str, metric: str) -> dict[float, ResultRow]:
    """The rows of a figure of a method by the strength that they were taken at."""
    begin = f"{metric}/strength="
    return {
        float(row.metric.removeprefix(begin)): row
        for row in rows
        if (row.benchmark, row.method, row.persona) == (MOVED[CURVE], method, ALL) and row.metric.startswith(begin)
    }


def _valued(name: str, row: ResultRow) -> dict[str, Any]:
    return {name: row.value, f"{name}_ci": [row.ci_low, row.ci_high]}


def main(arguments: Sequence[str]) -> None:
    """Work the figures out, print them and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steering", description=(__doc__ or "").split(":")[0])
    parser.add_argument("folders", nargs="*", default=list(FOLDERS), help="with results (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = [row for file in find_results(options.folders) for row in read_results(file)]
    figures = steering_figures(rows)
    commits = sorted({str(row.raw.get("commit")) for row in rows if row.method in CONTROLS})
    write_json(options.output, {**figures, "commit": ", ".join(commits)})
    console = Console(stderr=True)
    for name, value in figures.items():
        console.print(f"{name:>32} {value:.4g}" if isinstance(value, float) else f"{name:>32} {value}")


if __name__ == "__main__":
    with exit_on_input_error():
        main(sys.argv[1:])
