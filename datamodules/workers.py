"""Processes that prepare batches: they yield to training, and end when it does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing import parent_process

_PR_SET_PDEATHSIG = 1


def begin_worker(_worker: int) -> None:
    """Let a process yield to training where both want the same core, and have it end with the one that started it.

    A worker of PyTorch's looks now and then whether its parent is alive, but waits for ever where the parent was killed
    while a large item was on its way: the pipe is full, and nobody reads it any more. Linux can end it at once.
    """
    os.nice(5)
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is not None and not parent.is_alive():  # it ended before this was asked for
        os.kill(os.getpid(), signal.SIGKILL)
