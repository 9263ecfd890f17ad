"""README blocks about steering inside the model: what NPTI costs, and what NPTI, SAE and RepE move."""

from __future__ import annotations

from pathlib import Path

from benchmarks.committed import NPTI, STEERING
from benchmarks.readme_tables import DASH, figure, figure_of, figures_of, flat_table, table
from benchmarks.steering import CONTROLS

NPTI_FIGURES = {
    "count_overhead": "what counting every neuron adds to a batched generation (0.15 is 15 %)",
    "induce_overhead": "what pushing 2000 neurons and holding 2000 others adds to it",
    "select_speedup": "selection among 32 x 14336 neurons: time of a plain loop, from a slice of it / time of ours",
    "seconds_select": "seconds of that selection",
}
_NAMES = {"npti": "NPTI", "sae": "SAE", "repe": "RepE"}


def npti_block(root: Path, _inside: str) -> str:
    """Counting, induction and selection of neurons beside plain ones."""
    return flat_table(root / NPTI, NPTI_FIGURES)


def steering_block(root: Path, _inside: str) -> str:
    """How many traits each method moves both ways, and how its strength curve rises."""
    found = figures_of(root / STEERING)
    if not found:
        return "No results are committed yet."
    rows = []
    for method in CONTROLS:
        moved = [_moved(found.get(f"{method}_{kind}_moved")) for kind in ("trait_score", "trait_expression")]
        curve = [figure_of(found, f"{method}_{name}") for name in ("coherent_rate", "best_expression", "drop")]
        best = found.get(f"{method}_best_strength")
        rows.append((_NAMES[method], *moved, curve[0], f"{curve[1]} at {figure(best)}", curve[2]))
    header = (
        "method",
        "traits whose TRAIT score moves both ways",
        "traits whose expression does",
        "answers that read well",
        "best expression over strength",
        "largest fall before",
    )
    commits = ", ".join(commit[:8] for commit in str(found.get("commit")).split(", "))
    return f"{table(header, rows)}\n\nCommit {commits}."


def _moved(count: object) -> str:
    return f"{count} of 5" if isinstance(count, int) else DASH
