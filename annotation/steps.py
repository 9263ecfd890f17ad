"""The steps of annotation as files: what each reads and writes, in one folder."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.writers import Written
from files.atomic import ensure_writable_folder, write_json, write_lines
from files.errors import InputError

PASSAGES, QUESTIONS, ANSWERS = "passages.jsonl", "questions.jsonl", "answers.jsonl"
TRAIN, TEST, MIXED = "train.jsonl", "test.jsonl", "mixed.jsonl"
PAIRS = {"train": "preferences-train.jsonl", "test": "preferences-test.jsonl"}
PROMPTS = "prompts.jsonl"
STEPS_FILE, CACHE = "steps.json", "answers.sqlite"
MAKES = {
    PASSAGES: "retrieve",
    QUESTIONS: "ask",
    ANSWERS: "answer",
    TRAIN: "deduplicate",
    TEST: "deduplicate",
}


@dataclass
class Failures:
    """What could not be written, kept beside what was."""

    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Count one."""
        self.rows.append({"id": name, "reason": reason})

    def counts(self) -> Counter[str]:
        """How many of each reason."""
        return Counter(row["reason"].partition(":")[0] for row in self.rows)


class StepFolder:
    """The folder of an annotation.

    Args:
        path: The folder; it is made if it is missing.

    Raises:
        InputError: It cannot be written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = ensure_writable_folder(path)

    def file(self, name: str) -> Path:
        """A file in it."""
        return self.path / name

    def fix(self, name: str) -> str:
        """What to do where a file is missing."""
        return f"run `python annotate.py {MAKES.get(name, 'quickstart')} --out {self.path}` first"

    def finish(self, step: str, failures: Failures, counts: Mapping[str, Any], written: Written | None) -> str:
        """Note a finished step in `steps.json`, and its failures in a file of their own.

        Returns:
            One line for the user.
        """
        lost = self.file(f"{step}-failures.jsonl")
        if failures.rows:
            write_lines(lost, (json.dumps(row, ensure_ascii=False) for row in failures.rows))
        else:
            lost.unlink(missing_ok=True)
        steps = self._steps()
        steps[step] = {**counts, "failures": dict(sorted(failures.counts().items()))}
        write_json(self.file(STEPS_FILE), steps)
        figures = ", ".join(f"{value} {name}" for name, value in counts.items())
        return f"{step}: {figures}" + (f" ({written.said})" if written else "")

    def _steps(self) -> dict[str, Any]:
        try:
            content = json.loads(self.file(STEPS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


@contextmanager
def kept_answers(folder: StepFolder, step: str) -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost.

    Raises:
        KeyboardInterrupt: As it came.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"{step} goes on where it stopped when the same command is given again ({folder.path})\n")
        raise


def check_budget(written: Written, step: str) -> None:
    """Stop after a step that the budget cut short.

    Raises:
        InputError: Some of its requests were not asked.
    """
    unasked = written.failures.get("budget", 0)
    if unasked:
        raise InputError(
            f"{step} stopped before the budget would have been exceeded",
            field="--budget or --token_budget",
            expected=f"enough for {unasked} more requests",
            got=written.said,
            fix="raise it and give the same command again; what was answered is kept and is not asked again",
        )
