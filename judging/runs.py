"""A finished evaluation is judged: free answers are taken from its records, figures are added to its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.atomic import atomic_write_text, write_json
from files.errors import InputError
from files.provenance import commit_hash, library_versions
from files.readers import read_json_lines
from judging.check import Check
from judging.figures import Judged, judged_by
from judging.judge import Judge
from judging.protocol import Protocol
from metrics.outcome import MetricRow, RecordScores
from metrics.result_rows import RESULTS, read_results

RECORDS = "records.jsonl"


@dataclass
class Run:
    """A finished evaluation.

    Attributes:
        folder: Where it lies.
        rows: Its figures, as its results file holds them.
        records: For each method the scores and answers of every record.
    """

    folder: Path
    rows: list[dict[str, Any]]
    records: dict[str, list[RecordScores]]

    @classmethod
    def read(cls, folder: str | Path) -> Run:
        """Read results and records.

        Raises:
            InputError: One of them is not there or faulty, or the records hold no free answers.
        """
        root = Path(folder)
        rows = [dict(row.raw) for row in read_results(root / RESULTS)]
        records: dict[str, list[RecordScores]] = {}
        for number, entry in read_json_lines(root / RECORDS):
            try:
                records.setdefault(entry["method"], []).append(RecordScores.from_json(entry))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise InputError(
                    "is no record of an evaluation",
                    file=root / RECORDS,
                    row=number,
                    expected="a line as evaluate.py writes it",
                    got=str(error),
                    fix="evaluate again",
                ) from error
        if not any(record.samples for of_method in records.values() for record in of_method):
            raise InputError(
                "holds no free answers, so there is nothing to judge",
                file=root / RECORDS,
                field="--judge",
                expected="an evaluation in which the model speaks, such as one of personality_bench",
                fix="judge another run",
            )
        return cls(root, rows, records)

    def write(self) -> None:
        """Replace the records and then the results, each as a whole."""
        lines = [
            json.dumps({"method": method} | record.to_json(), ensure_ascii=False, allow_nan=False)
            for method, of_method in self.records.items()
            for record in of_method
        ]
        atomic_write_text(self.folder / RECORDS, "".join(f"{line}\n" for line in lines))
        write_json(self.folder / RESULTS, self.rows)

    def add(self, judged: Judged, judge: Mapping[str, Any]) -> None:
        """Add what was judged; figures of the same names that were judged before are replaced.

        Args:
            judged: Scores by record and figures, for each method.
            judge: Who judged, as the rows are to say it.
        """
        self.records = judged.records
        names = {row.metric.partition("/")[0] for rows in judged.rows.values() for row in rows}
        first = {row["method"]: row for row in reversed(self.rows)}
        kept = [row for row in self.rows if row["metric"].partition("/")[0] not in names]
        cost = {"tokens": judged.account.tokens, "money": judged.account.cost}
        new = [
            _result_row(first.get(method, self.rows[0]), method, row, judge, cost)
            for method, rows in judged.rows.items()
            for row in rows
        ]
        self.rows = [*kept, *new]


def judge_run(folder: str | Path, judge: Judge, protocols: list[Protocol], checks: Mapping[str, Check]) -> list[str]:
    """Judge a finished evaluation by some protocols.

    Args:
        folder: Its folder.
        judge: Who judges.
        protocols: How; what each adds is written before the next one begins.
        checks: For each protocol by name what a check of the judge has shown, if it was checked.

    Returns:
        A line for each protocol.

    Raises:
        InputError: The folder holds no evaluation that can be judged, or not by one of the protocols.
    """
    run = Run.read(folder)
    lines = []
    for protocol in protocols:
        judged = judged_by(run.records, judge, protocol)
        check = checks.get(protocol.name)
        run.add(judged, _named(judge, protocol, judged, check))
        run.write()
        plain = {method: row for method, rows in judged.rows.items() for row in rows[:1]}
        figures = ", ".join(f"{method} {row.value:.3f}" for method, row in plain.items() if row.value is not None)
        lines.append(f"{run.folder}: {protocol.metric}: {figures or 'no figure'} ({judged.account})")
    return lines


def _named(judge: Judge, protocol: Protocol, judged: Judged, check: Check | None) -> dict[str, Any]:
    """A judge as result rows name it."""
    return {
        "name": judge.name,
        "version": protocol.identity,
        "endpoint": judge.address,
        "protocol": protocol.name,
        "repeats": protocol.repeats,
        "agreement": judged.agreement,
        "asked": judged.account.asked,
        "parse_failures": judged.account.unread,
        "failures": dict(sorted(judged.account.faults.items())),
        "check": check.rank_correlation if check is not None else None,
    }


def _result_row(
    like: Mapping[str, Any], method: str, row: MetricRow, judge: Mapping[str, Any], cost: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of a results file, with the provenance of a row of the same evaluation."""
    figure = {name: getattr(row, name) for name in ("metric", "persona", "value", "ci_low", "ci_high", "n")}
    made = {"versions": library_versions(), "commit": commit_hash(), "judge": dict(judge), "cost": dict(cost)}
    return {
        **like,
        "method": method,
        **figure,
        "base_value": row.base_value,
        **made,
        "seconds": None,
        "peak_memory_mb": None,
    }
