"""Counts the faults that were put in and what came of them, and writes `REPORT.json` part by part.

A test that puts in one fault is counted by its outcome. One that puts in many (kills, fuzzed files) counts them itself
with the fixture `tally`. With `FAULTS=full` each test file's part of the report is written as its tests end, so that a
long run may be made in pieces; the sums on top are those of all parts.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from files.atomic import write_json
from files.provenance import commit_hash

FULL = os.environ.get("FAULTS") == "full"
REPORT = Path(__file__).with_name("REPORT.json")
ONE_EACH = "cases"


class Tally:
    """Faults of one test.

    Attributes:
        kind: What they are.
        tried: How many were put in.
        survived: After how many a clean message or the right result came.
    """

    def __init__(self) -> None:
        self.kind = ONE_EACH
        self.tried = self.survived = 0

    def of(self, kind: str) -> Tally:
        """Name what is counted."""
        self.kind = kind
        return self

    def put_in(self, count: int = 1) -> None:
        self.tried += count

    def stood(self, count: int = 1) -> None:
        self.survived += count


class Report:
    """The parts that this session has tests of."""

    def __init__(self, file: Path = REPORT) -> None:
        self.file = file
        self.parts: dict[str, dict[str, dict[str, int]]] = {}

    @cached_property
    def commit(self) -> str | None:
        """The commit as it is before the report is first written, which would count as a change of it."""
        return commit_hash()

    def add(self, part: str, kind: str, tried: int, survived: int) -> None:
        """Add a test's faults to its part, which replaces the one of an earlier session."""
        counts = self.parts.setdefault(part, {}).setdefault(kind, {"tried": 0, "survived": 0, "lost": 0})
        counts["tried"] += tried
        counts["survived"] += survived
        counts["lost"] += tried - survived

    def write(self) -> None:
        """Write the whole report: parts of earlier sessions as they were, and those of this one."""
        known = json.loads(self.file.read_text(encoding="utf-8"))["parts"] if self.file.is_file() else {}
        now = {"made": datetime.now(UTC).strftime("%Y-%m-%d"), "commit": self.commit}
        for part, kinds in self.parts.items():
            of_part = known.setdefault(part, {})
            for kind, counts in kinds.items():
                of_part[kind] = {**counts, **now}
        everything = [counts for kinds in known.values() for counts in kinds.values()]
        sums = {name: sum(counts[name] for counts in everything) for name in ("tried", "survived", "lost")}
        write_json(self.file, {**sums, "parts": {part: dict(sorted(known[part].items())) for part in sorted(known)}})


def counted(report: Report, item: Any, outcome: str, writing: bool) -> None:
    """Add the faults of a test that has ended; a test that was skipped put in none."""
    if outcome == "skipped":
        return
    tally = item.funcargs.get("tally") if hasattr(item, "funcargs") else None
    tried, survived = (tally.tried, tally.survived) if tally is not None and tally.tried else (1, outcome == "passed")
    report.add(item.path.stem, tally.kind if tally is not None else ONE_EACH, tried, int(survived))
    if writing:
        report.write()


@pytest.fixture
def tally() -> Tally:
    """The faults of this test, where it counts them itself."""
    return Tally()
