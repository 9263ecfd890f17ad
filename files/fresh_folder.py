"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from files.atomic import ensure_writable_folder
from files.errors import InputError


def check_empty(path: str | Path, option: str = "--out") -> Path:
    """Refuse a folder that holds something already, or cannot be written.

    Args:
        path: The folder, which need not exist.
        option: What it was given as, for errors.

    Raises:
        InputError: It is a file, is not empty, or cannot be made where it is to lie.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file", file=folder, field=option, expected="a folder", fix="give another name")
    if folder.is_dir() and (held := sorted(item.name for item in folder.iterdir())):
        raise InputError(
            "is not empty, and nothing is ever overwritten there",
            file=folder,
            field=option,
            expected="a folder that is empty or not there yet",
            got=held[:5],
            fix="give another folder, or empty this one",
        )
    missing = [parent for parent in folder.absolute().parents if not parent.exists()]
    ensure_writable_folder(folder.absolute().parent)
    for parent in missing:  # what was made for the proof alone
        parent.rmdir()
    return folder


@contextmanager
def fresh_folder(path: str | Path, option: str = "--out") -> Iterator[Path]:
    """A folder to fill inside the block, which takes its name when the block ends well and else vanishes.

    Args:
        path: The name; nothing, or an empty folder.
        option: What it was given as, for errors.

    Yields:
        A folder beside it, to be filled.

    Raises:
        InputError: As in `check_empty`, or the disk refuses what is written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with fresh_folder(f"{root}/made") as folder:
    ...         _ = (folder / "a.txt").write_text("a")
    ...     [item.name for item in Path(root, "made").iterdir()], len(list(Path(root).iterdir()))
    (['a.txt'], 1)
    """
    target = check_empty(path, option)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    staging = target.absolute().with_name(f".{target.absolute().name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        staging.mkdir()
        yield staging
        check_empty(target, option)
        if target.is_dir():
            target.rmdir()
        os.replace(staging, target)
    except OSError as error:
        raise InputError(
            "cannot be written",
            file=target,
            field=option,
            expected="a folder that can be made, and room for what goes into it",
            got=error.strerror or str(error),
            fix="choose another folder, or make room",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
