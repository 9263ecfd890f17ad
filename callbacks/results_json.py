"""Writes the figures of an evaluation to `results.json`, which tables, reports and leaderboards are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from files.atomic import atomic_write_text, ensure_writable_folder, write_json
from files.provenance import commit_hash, data_hash, library_versions
from metrics.outcome import MetricRow, Outcome
from metrics.result_rows import SCHEMA


class ResultsJson(Callback):
    """Writes `results.json` (a row per figure) and `records.jsonl` (a line per record) at the end, of every method.

    Both lie in the run's folder, which is tried out before the evaluation starts. Each file is replaced as a whole.

    Args:
        settings: What the evaluation was run with, as YAML, to be kept beside the results in `evaluation.yaml`.
    """

    def __init__(self, settings: str | None = None) -> None:
        self.settings = settings

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002 - a Lightning hook
        """Fail in the first second, not the last, where the folder cannot be written."""
        if trainer.is_global_zero:
            ensure_writable_folder(trainer.default_root_dir)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files."""
        outcome = getattr(pl_module, "outcome", None)
        if not trainer.is_global_zero or not isinstance(outcome, Outcome):
            return
        outcomes = all_outcomes(pl_module) or (outcome,)
        root = Path(trainer.default_root_dir)
        lines = [
            json.dumps({"method": one.method} | record.to_json(), ensure_ascii=False, allow_nan=False)
            for one in outcomes
            for record in one.records
        ]
        atomic_write_text(root / "records.jsonl", "".join(f"{line}\n" for line in lines))
        if self.settings is not None:
            atomic_write_text(root / "evaluation.yaml", self.settings)
        write_json(root / "results.json", [row for one in outcomes for row in result_rows(one)])


def all_outcomes(module: LightningModule) -> tuple[Outcome, ...]:
    """The outcomes of every method of an evaluation, that of its own method first."""
    return tuple(one for one in getattr(module, "outcomes", ()) if isinstance(one, Outcome))


def result_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The rows of `results.json`.

    Args:
        outcome: A finished evaluation.

    Returns:
        For each figure a flat object with its provenance; null where there is no value.
    """
    provenance = {
        "seed": outcome.seed,
        "versions": library_versions(),
        "commit": commit_hash(),
        "data_hash": data_hash(outcome.data_files) if outcome.data_files else None,
        "judge": None,
        "cost": None,
        "seconds": round(outcome.seconds, 3),
        "peak_memory_mb": round(outcome.peak_memory_mb, 1),
    }
    named = {"schema": SCHEMA, "benchmark": outcome.benchmark, "method": outcome.method, "model": outcome.model}
    return [named | _figure(row) | provenance for row in outcome.rows]


def _figure(row: MetricRow) -> dict[str, Any]:
    names = ("persona", "metric", "value", "ci_low", "ci_high", "n", "base_value")
    return {name: getattr(row, name) for name in names}
