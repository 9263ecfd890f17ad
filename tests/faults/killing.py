"""Commands in a process of their own that is killed at some moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

Main = Callable[[list[str]], object]


def _silent(main: Main, arguments: list[str]) -> None:
    """Run a command without a word; its exit code becomes that of the process."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        main(arguments)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def started(main: Main, arguments: Sequence[object]) -> BaseProcess:
    """A command in a copy of this process, which needs no second to import anything."""
    process = multiprocessing.get_context("fork").Process(target=_silent, args=(main, [*map(str, arguments)]))
    process.start()
    return process


def killed(main: Main, arguments: Sequence[object], moment: Callable[[], bool], delay: float = 0.0) -> bool:
    """Start a command and kill it so many seconds after a moment.

    Returns:
        Whether it was still running then.
    """
    process = started(main, arguments)
    while process.is_alive() and not moment():
        time.sleep(0.002)
    process.join(delay)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def lines_below(root: Path, pattern: str = "**/unfinished/part-*.jsonl") -> int:
    """How much an evaluation has written down."""
    count = 0
    for file in root.glob(pattern):
        try:
            count += file.read_bytes().count(b"\n")
        except OSError:  # it is gone by now
            continue
    return count
