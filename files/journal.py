"""A journal of finished work: one JSON object per line, kept while a run goes on, picked up by the next one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from files.errors import InputError


class Journal:
    """Entries of unfinished work in a folder, safe to kill at any moment.

    Each process appends to a file of its own and all of them are read back. A line counts only if it is whole and
    belongs to the same work: its fingerprint says what was done with which settings on which data, and lines of another
    fingerprint are dropped. What a killed process wrote in part is dropped too.

    Args:
        folder: Where the files lie; created on the first write.
        fingerprint: What identifies the work.
        writer: Number of this process among those that share the folder.
    """

    def __init__(self, folder: str | Path, fingerprint: str, writer: int = 0) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self._own = self.folder / f"part-{writer}.jsonl"
        self._started = False

    def read(self) -> list[dict[str, Any]]:
        """All whole entries of this work, of every process, in the order written by each.

        Raises:
            InputError: If a file is there but cannot be read.
        """
        entries: list[dict[str, Any]] = []
        for path in sorted(self.folder.glob("part-*.jsonl")):
            entries.extend(self._entries(path))
        return entries

    def _entries(self, path: Path) -> Iterable[dict[str, Any]]:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                "the record of finished work cannot be read",
                file=path,
                got=error.strerror,
                fix="make it readable, or delete it to start again",
            ) from error
        for line in content.split(b"\n"):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):  # cut off by a kill, or nothing that was ever written here
                continue
            if isinstance(entry, dict) and entry.pop("fingerprint", None) == self.fingerprint:
                yield entry

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        """Add entries and return once they are on the disk.

        Args:
            entries: JSON objects without a key ``fingerprint``.

        Raises:
            InputError: If the folder or file cannot be written.
        """
        lines = [json.dumps({"fingerprint": self.fingerprint, **entry}, ensure_ascii=False) for entry in entries]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self._own, "ab") as stream:
                # The last line of an earlier process may lack its end.
                start = "" if self._started else "\n"
                stream.write((start + "".join(f"{line}\n" for line in lines)).encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise InputError(
                "finished work cannot be written down",
                file=self._own,
                expected="a writable file on a disk with space left",
                got=error.strerror,
                fix="free some space or choose another --trainer.default_root_dir, then run the same command again",
            ) from error
        self._started = True

    def clear(self) -> None:
        """Delete the files of every process, and the folder if nothing else is in it."""
        for path in self.folder.glob("part-*.jsonl"):
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()
