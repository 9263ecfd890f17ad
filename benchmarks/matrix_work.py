"""Trainings and evaluations as commands of their own, several at a time, each with its share of the cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from files.atomic import atomic_write_text
from files.errors import EXIT_BAD_INPUT, InputError

LOG = "log.txt"
_MARK = "error: "
_LINES = 12


@dataclass(frozen=True)
class Task:
    """Something to do.

    Attributes:
        key: What it is known by.
        after: Keys of the tasks that must have ended before.
        do: Does it, and names the tasks that follow from it.
    """

    key: str
    after: frozenset[str]
    do: Callable[[], Sequence[Task]]


def run_tasks(tasks: Sequence[Task], jobs: int, stop: Callable[[], None]) -> None:
    """Do tasks, as many at a time as there are jobs, in their order as far as they need not wait for others.

    Args:
        tasks: What is to be done; what follows from one of them comes before all that still waits.
        jobs: How many at a time.
        stop: Called where one of them breaks down or the program is stopped; must end those that are running.

    Raises:
        ValueError: Tasks wait for others that never come.
    """
    waiting, ended = list(tasks), set[str]()
    running: dict[Future[Sequence[Task]], Task] = {}
    with ThreadPoolExecutor(jobs) as pool, _stopped_on_error(stop):
        while waiting or running:
            for task in [task for task in waiting if task.after <= ended][: jobs - len(running)]:
                waiting.remove(task)
                running[pool.submit(task.do)] = task
            if not running:
                raise ValueError(f"expected tasks that can be begun but got {[task.key for task in waiting]}")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                waiting[:0] = future.result()
                ended.add(task.key)


@contextmanager
def _stopped_on_error(stop: Callable[[], None]) -> Iterator[None]:
    """Whatever ends the block early, Ctrl-C and SIGTERM included, ends what is running first."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except BaseException:
        stop()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Commands:
    """Runs this project's scripts, each in a process of its own.

    Args:
        jobs: How many run at a time; they share the cores.
    """

    def __init__(self, jobs: int) -> None:
        threads = max(1, cores() // jobs)
        given = int(os.environ.get("OMP_NUM_THREADS", threads))
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(min(given, threads))}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, arguments: Sequence[str], log: Path) -> None:
        """Run `python <arguments>` and wait for its end.

        Args:
            arguments: The command line, without the interpreter.
            log: Where all that it says is kept.

        Raises:
            InputError: It has ended with an error; what it said of it is the message.
        """
        atomic_write_text(log, f"$ python {' '.join(arguments)}\n")
        with log.open("ab") as said:
            with self._lock:
                if self._stopped:
                    raise KeyboardInterrupt
                process = subprocess.Popen(  # noqa: S603 - scripts of this project
                    [sys.executable, *arguments], stdout=said, stderr=subprocess.STDOUT, env=self._environment
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise KeyboardInterrupt
        if code != 0:
            raise failure(code, log)

    def stop(self) -> None:
        """End whatever is still running, and begin nothing more; all of it can go on where it was stopped."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def failure(code: int, log: Path) -> InputError:
    """Why a command has ended with an error.

    Args:
        code: Its exit code.
        log: What it said.

    Returns:
        The message that it ended with, or, where it has broken down, its last line and where to read on.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    marked = [place for place, line in enumerate(lines) if line.startswith(_MARK)]
    if code == EXIT_BAD_INPUT and marked:
        return InputError("\n".join(lines[marked[-1] :][:_LINES]).removeprefix(_MARK).strip())
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return InputError(f"broke down (exit code {code}): {said}", file=log, fix="read its end; report it as a fault")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
