"""The progress bar of a run of requests."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bar:
    """Shows on the terminal how many requests are answered, how fast, how many failed, and what it cost.

    Args:
        title: What is being done.
        total: How many there will be; None where nobody knows.
        shown: Whether it is shown at all.
    """

    def __init__(self, title: str, total: int | None, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._task = self._progress.add_task(title, total=total, rate="", note="")

    def advance(self, failures: Counter[str], cost: float) -> None:
        """One more request is done."""
        self._progress.advance(self._task)
        task = self._progress.tasks[0]
        speed = task.finished_speed or task.speed
        note = f"{failures.total()} failed" if failures else ""
        if cost:
            note = f"{note} cost {cost:.4f}".strip()
        self._progress.update(self._task, rate=f"{speed:.1f}/s" if speed else "", note=note)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
