"""The README's tables of methods: what stands there of each method, and beside it what results files say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.committed import CHARACTERS, MATRIX, PAPI, QUICKSTART, headline
from benchmarks.readme_tables import DASH, Row, figure, figures_of, table, with_interval
from files.errors import InputError
from metrics.glossary import MEANINGS

# By file, the figures that its methods are compared by.
OF_A_FILE = {
    QUICKSTART: ("edit_success", "drawdown", "coherent_rate"),
    PAPI: ("alignment_error", "trait_correlation"),
}
CHARACTER_FIGURES = ("fact_accuracy", "stage_preference")
# By benchmark of the matrix, its figure.
OF_TRAITS = {"personality_bench": "trait_expression", "trait": "trait_score_range"}
OF_PROMPTS = {**OF_TRAITS, "papi": "alignment_error"}
_DETAILS = ("evaluation s", "peak MB", "commit")


def methods_block(root: Path, inside: str) -> str:
    """The table of methods: the first three columns as they stand in the README, the others from the results.

    Args:
        root: The folder of README.md.
        inside: The table as it stands.

    Returns:
        The table, and what the figures from the matrix mean.

    Raises:
        InputError: A row does not begin with method, paper and a configuration in `configs/<method>/`.
    """
    rows = []
    for cells in _cells(inside):
        named = re.search(r"configs/(\w+)/", cells[2]) if len(cells) >= 3 else None
        if named is None:
            raise InputError(
                "has no configuration",
                file=root / "README.md",
                row="table of methods",
                expected="| method | paper | `configs/<method>/<name>.yaml` |",
                got=" | ".join(cells),
            )
        rows.append((*cells[:3], *_told(_found(root, named[1], OF_TRAITS))))
    header = ("method", "paper", "configuration", "figures", *_DETAILS)
    return f"{table(header, rows)}\n\n{_meanings(root, OF_TRAITS)}".strip()


def prompts_block(root: Path, inside: str) -> str:
    """The table of methods without training: the first two columns as they stand, figures from the matrix.

    Args:
        root: The folder of README.md.
        inside: The table as it stands.

    Returns:
        The table, and what its figures mean.

    Raises:
        InputError: A row does not begin with the name of a method in backticks, and what it does.
    """
    rows = []
    for cells in _cells(inside):
        named = re.match(r"`(\w+)`", cells[0]) if len(cells) >= 2 else None
        if named is None:
            raise InputError(
                "has no method",
                file=root / "README.md",
                row="table of methods without training",
                expected="| `name` | what it does |",
                got=" | ".join(cells),
            )
        figures, *_ = _told(_from_matrix(root, named[1], OF_PROMPTS))
        rows.append((*cells[:2], figures))
    return f"{table(('method', 'what it does', 'figures'), rows)}\n\n{_meanings(root, OF_PROMPTS)}".strip()


def _cells(inside: str) -> Iterator[list[str]]:
    """The rows of a table as it stands, and of what else is there nothing."""
    lines = [line.strip() for line in inside.strip().splitlines() if line.strip().startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _found(root: Path, method: str, of_matrix: dict[str, str]) -> list[dict[str, Any]]:
    """Rows that say what a method comes to: of the file that is its own, and of the matrix."""
    rows: list[dict[str, Any]] = []
    for file, shown in OF_A_FILE.items():
        rows = rows or [row for row in headline(root, method, file) if row["metric"] in shown]
    return (rows or _of_characters(root, method)) + _from_matrix(root, method, of_matrix)


def _from_matrix(root: Path, method: str, shown: dict[str, str]) -> list[dict[str, Any]]:
    found = {(row.get("benchmark"), row["metric"]): row for row in headline(root, method, MATRIX)}
    return [found[key] for key in shown.items() if key in found]


def _of_characters(root: Path, method: str) -> list[dict[str, Any]]:
    """What the characters' examination found of a method, as rows."""
    found = figures_of(root / CHARACTERS)
    cost = {
        "seconds": found.get(f"seconds_{method}"),
        "peak_memory_mb": found.get(f"peak_memory_mb_{method}"),
        "commit": found.get("commit"),
    }
    rows = []
    for name in CHARACTER_FIGURES:
        value, base = (found.get(f"{name}_{one}") for one in (method, "none"))
        low, high = found.get(f"{name}_{method}_ci") or (None, None)
        figures = {"metric": name, "value": value, "base_value": base, "ci_low": low, "ci_high": high}
        rows += [figures | cost] if value is not None else []
    return rows


def _told(rows: Sequence[dict[str, Any]]) -> Row:
    """Figures with those of the base model, what the first of them took, and the commits of all."""
    if not rows:
        return (DASH,) * (1 + len(_DETAILS))
    told = []
    for row in rows:
        base = row.get("base_value")
        value = with_interval(row.get("value"), row.get("ci_low"), row.get("ci_high"))
        told.append(f"{row['metric']} {value}{'' if base is None else f' (base {figure(base)})'}")
    commits = dict.fromkeys(str(row.get("commit") or DASH)[:8] for row in rows)
    return "; ".join(told), figure(rows[0].get("seconds")), figure(rows[0].get("peak_memory_mb")), ", ".join(commits)


def _meanings(root: Path, shown: dict[str, str]) -> str:
    """What figures of the matrix mean, where it is there."""
    if not (root / MATRIX).is_file():
        return ""
    clauses = [
        f"`{metric}`: {MEANINGS[metric].text} ({benchmark}, {MEANINGS[metric].better} is better)"
        for benchmark, metric in shown.items()
    ]
    return f"{'; '.join(clauses)}. All of them are in the report of `make matrix`."
