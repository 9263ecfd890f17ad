"""A folder that one run at a time writes to, and that vanishes again where nothing came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from files.atomic import ensure_writable_folder, remove_half_written
from files.errors import InputError

try:
    import fcntl
except ImportError:  # not a Unix: folders are not locked there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked_folder(path: str | Path, option: str = "--trainer.default_root_dir", lock: bool = True) -> Iterator[Path]:
    """A folder that is made if it is missing, and held against any other run inside the block.

    The system itself keeps the lock, on the folder and not in a file, and drops it with the process: a killed run
    leaves nothing behind that could block the next one. File systems without locks are used without. What a killed run
    was writing, in the folder or in those directly below it, is removed.

    Args:
        path: The folder.
        option: What it was given as, for errors.
        lock: Whether to hold it; of several processes that share a run only one does.

    Yields:
        The folder. Those that were made and are empty when the block ends are removed.

    Raises:
        InputError: Another run holds it, or it cannot be made or written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with locked_folder(f"{root}/a/b") as folder:
    ...         print(folder.is_dir())
    ...     print(list(Path(root).iterdir()))
    True
    []
    """
    folder = Path(path)
    made = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    handle: int | None = None
    try:
        if not str(path):
            raise InputError("is empty", field=option, expected="a folder", fix="name a folder, such as runs/mine")
        try:
            ensure_writable_folder(folder)
        except InputError as error:
            error.field = error.field or option
            raise
        if lock and fcntl is not None:
            handle = _held(folder, option)
        if handle is not None:
            _tidy(folder)
        yield folder
    finally:
        if handle is not None and handle in _handles:
            _handles.discard(handle)
            os.close(handle)
        for one in made:
            with suppress(OSError):  # it is in use by now
                one.rmdir()


def _tidy(folder: Path) -> None:
    """Remove half-written files; folders below that another run holds are left alone."""
    remove_half_written(folder)
    for below in folder.iterdir():
        if not below.is_dir() or below.is_symlink():
            continue
        with suppress(OSError):
            handle = os.open(below, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_half_written(below)
            finally:
                os.close(handle)


def _held(folder: Path, option: str) -> int | None:
    """An open handle on a folder that carries the lock; None where the file system has no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(
            "another run is writing to this folder",
            file=folder,
            field=option,
            expected="a folder of its own for every run",
            fix=f"wait until that run has ended, stop it, or give another folder as {option}",
        ) from error
    except OSError:
        os.close(handle)
        return None
    _handles.add(handle)
    return handle


def _let_go_in_a_fork() -> None:
    """Close the handles of a copy of this process, which would hold the lock beyond a kill of this one."""
    for handle in _handles:
        with suppress(OSError):
            os.close(handle)
    _handles.clear()


_handles: set[int] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_a_fork)
