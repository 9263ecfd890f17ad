"""Results files for tests of reports: as an evaluation writes them, of values that a test chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metrics.result_rows import ResultRow, find_results, read_results
from personas.traits import BIG_FIVE
from tests.unit.metrics.test_result_rows import row, write

HOSTILE = "<script>alert(1)</script>"


def rows_of(*folders: Path) -> list[ResultRow]:
    """All rows below some folders."""
    return [one for file in find_results(folders) for one in read_results(file)]


def figure(method: str, value: float | None, width: float | None = 0.05, metric: str = "acc", **changes: Any) -> dict:
    """A row with an interval of some width on either side."""
    ends: dict[str, float | None] = {"ci_low": None, "ci_high": None}
    if value is not None and width is not None:
        ends = {"ci_low": value - width, "ci_high": value + width}
    return row(metric, method, value, **{**ends, **changes})


def by_trait(method: str, values: list[float], ends: str = "") -> list[dict]:
    """Rows of trait expression for each trait, or for either end of each."""
    labels = [f"{trait}{end}" for end in (ends or [""]) for trait in BIG_FIVE]
    named = zip(labels, values, strict=True)
    return [figure(method, value, metric=f"trait_expression/{label}", persona=label) for label, value in named]


def strengths(method: str, values: dict[str, float], metric: str = "acc") -> list[dict]:
    """Rows of a figure over the values of a setting."""
    return [figure(method, value, metric=f"{metric}/strength={name}") for name, value in values.items()]


def record(
    method: str, identity: str, answer: str, prompt: str = "Tea?", persona: str = "openness+", acc: float | None = None
) -> dict:
    """A line of a records file with one free answer, and its accuracy where there is one."""
    sample = {"prompt": prompt, "base": "It is a drink.", "persona": answer}
    who = {"name": persona, "levels": {}}
    return {
        "method": method,
        "id": identity,
        "order": 0,
        "persona": who,
        "base": {"acc": 0.25},
        "values": {"acc": acc},
        "samples": [sample],
    }


def write_run(folder: Path, rows: list[dict], records: list[dict] | None = None) -> Path:
    """A run's folder with results and, where there are any, records."""
    write(folder, rows)
    if records is not None:
        (folder / "records.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return folder
