"""The scores an evaluation has so far, of every method, kept on the disk as they arrive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from files.journal import Journal
from metrics.outcome import RecordScores


class KeptScores:
    """Scores per method and record, of this run and of those that it goes on from.

    Args:
        folder: Where they are kept until the evaluation is finished.
        fingerprint: What identifies the evaluation.
        writer: Number of this process.

    Attributes:
        seconds: Time spent on each method so far.
    """

    def __init__(self, folder: Path, fingerprint: str, writer: int) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._journal = Journal(folder, fingerprint, writer)
        self._records: dict[str, dict[str, RecordScores]] = defaultdict(dict)

    def read(self) -> None:
        """Take over what is on the disk, of all processes."""
        self.seconds.clear()
        self._records.clear()
        for entry in self._journal.read():
            if "record" in entry:
                record = RecordScores.from_json(entry["record"])
                self._records[entry["method"]][record.id] = record
            elif "seconds" in entry:
                self.seconds[entry["method"]] += entry["seconds"]

    def has(self, method: str, ids: Iterable[str]) -> bool:
        """Whether all of these records are scored under a method."""
        return all(name in self._records[method] for name in ids)

    def add(self, method: str, records: Sequence[RecordScores], seconds: float) -> None:
        """Keep scores of some records, and the time they took."""
        named = [{"record": record.to_json(), "method": method} for record in records]
        self._journal.append([*named, {"seconds": seconds, "method": method}])
        self._records[method].update((record.id, record) for record in records)
        self.seconds[method] += seconds

    def records(self, method: str) -> list[RecordScores]:
        """A method's scores in the order of the data set."""
        return sorted(self._records[method].values(), key=lambda record: record.order)

    def clear(self) -> None:
        """Delete what is on the disk."""
        self._journal.clear()
