"""Peak memory of a piece of work on a CPU: what the process held above a starting point."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
# Freed blocks of this size and more go straight back to the system, so that what is counted is what is held.
_GIVEN_BACK_FROM = 64 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def give_memory_back() -> None:
    """Make the allocator return what is freed, instead of keeping it for later.

    Without this a peak would also hold whatever happened to be kept from before, by luck of the order of sizes.

    Raises:
        RuntimeError: On a system other than Linux with the GNU C library.
    """
    if not sys.platform.startswith("linux") or not _CLEAR_REFS.exists():
        raise RuntimeError("peak memory is read from /proc, which this system does not have")
    library = ctypes.CDLL("libc.so.6")
    if not (library.mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK_FROM) and library.mallopt(_M_TRIM_THRESHOLD, 0)):
        raise RuntimeError("the allocator does not take the setting")


def peak_above(work: Callable[[], object]) -> float:
    """Largest resident memory while the work runs, above what is resident before it.

    Args:
        work: The work.

    Returns:
        Mebibytes.

    Raises:
        OSError: On a system other than Linux with the GNU C library.
    """
    gc.collect()
    # Freed blocks that the allocator keeps are resident and would be filled again without being counted.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _kibibytes("VmRSS")
    _CLEAR_REFS.write_text("5")  # sets the high-water mark back to what is resident now
    work()
    return (_kibibytes("VmHWM") - before) / 1024


def resident() -> float:
    """What the process holds in memory now, in mebibytes; for Linux."""
    return _kibibytes("VmRSS") / 1024


def _kibibytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"{_STATUS} has no {field}")
