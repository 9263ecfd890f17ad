"""Writing so that a file is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from files.errors import InputError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)


def atomic_write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file through a temporary one in the same folder, synced to disk before it takes the name.

    Missing folders are created. An existing file keeps its permissions; a symbolic link is followed, not replaced.

    Returns:
        The path written.

    Raises:
        InputError: The folder cannot be created or written to, the disk is full, or there is a folder, a device or a
            pipe of that name; what was there is then untouched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     atomic_write_bytes(f"{folder}/a/b.bin", b"xyz").read_bytes()
    b'xyz'
    """
    target = _replaceable(path)
    ensure_writable_folder(target.parent)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise _write_error(target, error) from error
    finally:
        # After os.replace the name is gone; on any failure, Ctrl-C included, nothing half written stays behind.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return Path(path)


def atomic_write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8, line ends as they are, under the guarantees of `atomic_write_bytes`.

    Raises:
        InputError: As in `atomic_write_bytes`.
    """
    return atomic_write_bytes(path, text.encode("utf-8"))


def write_lines(path: str | Path, lines: Iterable[str]) -> int:
    r"""Write lines as they come, without holding them all, under the guarantees of `atomic_write_bytes`.

    Args:
        path: The file.
        lines: Text without line ends. Where making them fails, the old file stays as it was.

    Returns:
        How many there were.

    Raises:
        InputError: As in `atomic_write_bytes`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_lines(f"{folder}/a.txt", iter(["x", "y"])), Path(folder, "a.txt").read_text()
    (2, 'x\ny\n')
    """
    target = _replaceable(path)
    ensure_writable_folder(target.parent)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    count = 0
    try:
        with temporary.open("xb") as stream:
            for line in lines:
                stream.write(f"{line}\n".encode())
                count += 1
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _write_error(target, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return count


def write_json(path: str | Path, content: Any) -> Path:
    """Write an object as indented JSON, under the guarantees of `atomic_write_bytes`.

    Raises:
        InputError: As in `atomic_write_bytes`.
        ValueError: The object holds a nan or an infinity, which JSON has no word for (write None instead).
        TypeError: The object holds something JSON has no form for.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(write_json(f"{folder}/a.json", {"name": "Zoë", "value": None}).read_text(encoding="utf-8"), end="")
    {
      "name": "Zoë",
      "value": null
    }
    """
    return atomic_write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _replaceable(path: str | Path) -> Path:
    """Where a path leads, unless something stands there that no file may replace."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        what = "is a folder" if target.is_dir() else "is no file: a device, a pipe or a socket"
        raise InputError(what, file=path, expected="the name of a file to write", fix="give a file name")
    return target


def remove_half_written(folder: str | Path) -> None:
    """Remove what writers that were killed in the middle have left in a folder; nobody may be writing there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in (".last.ckpt.0123456789ab.tmp", "last.ckpt", ".mine.tmp"):
    ...         _ = Path(folder, name).write_text("x")
    ...     remove_half_written(folder)
    ...     sorted(item.name for item in Path(folder).iterdir())
    ['.mine.tmp', 'last.ckpt']
    """
    for file in Path(folder).glob(".*.tmp"):
        if _TEMPORARY.fullmatch(file.name) and file.is_file():
            with suppress(OSError):
                file.unlink()


def ensure_writable_folder(path: str | Path) -> Path:
    """Create a folder if it is missing and prove that a file can be made in it.

    Programs call this before long work, so that an unwritable output folder is reported in the first second. The proof
    is a file, not the permission bits, because read-only disks and containers ignore those.

    Returns:
        The folder.

    Raises:
        InputError: It cannot be created, is not a folder, or refuses a new file.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".writable.", suffix=".tmp")
        os.close(handle)
        os.unlink(name)
    except (OSError, ValueError) as error:  # a name may hold a null byte
        raise _write_error(folder, error) from error
    return folder


def _write_error(path: Path, error: OSError | ValueError) -> InputError:
    strerror = getattr(error, "strerror", None)
    dangling = next((one for one in (path, *path.parents) if os.path.islink(one) and not os.path.exists(one)), None)
    got = f"{strerror}: {dangling} is a link to nothing" if dangling is not None else strerror or str(error)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return InputError(
        "cannot be written",
        file=path,
        expected="a disk with space left" if full else "a folder that exists or can be created, and accepts new files",
        got=got,
        fix="free some space, then run the same command again"
        if full
        else "choose another output folder, or change its permissions",
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the platform can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
