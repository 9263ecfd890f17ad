"""Where a figure comes from: the data, the code and the libraries it was made with."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from files.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARIES = ("torch", "lightning", "transformers", "tokenizers", "safetensors", "peft", "torchmetrics", "numpy")
CHUNK = 1 << 20


def data_hash(paths: str | Path | Iterable[str | Path]) -> str:
    """SHA-256 over the content of files and folders, the same wherever they lie.

    Folders are read recursively; inside them a file counts with its path below the folder, a file given by itself with
    its name alone. The order of the arguments does not matter. Hidden files are left out.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: A path does not exist or cannot be read.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
    ...     for folder in (first, second):
    ...         _ = Path(folder, "train.json").write_text("[]")
    ...     data_hash(first) == data_hash(second)
    True
    """
    digests = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        root = Path(path)
        if not root.exists():
            raise InputError("does not exist", file=path, expected="a file or folder", fix="check the path")
        members = (member for member in root.rglob("*") if member.is_file()) if root.is_dir() else [root]
        for member in members:
            name = member.relative_to(root) if root.is_dir() else Path(root.name)
            if not any(part.startswith(".") for part in name.parts):
                digests.append(f"{name.as_posix()}\0{_file_digest(member)}")
    return hashlib.sha256("\n".join(sorted(digests)).encode("utf-8")).hexdigest()


def commit_hash() -> str | None:
    """The commit of this checkout, with `+changes` if a tracked file differs from it; None outside a git checkout."""
    top = _git("rev-parse", "--show-toplevel")
    # Installed below some other project's checkout, that project's commit would say nothing about this code.
    if top is None or Path(top).resolve() != REPOSITORY:
        return None
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return commit if changes == "" else f"{commit}+changes"


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that figures depend on; one that is not installed is left out.

    >>> sorted(library_versions())[:2]
    ['lightning', 'numpy']
    """
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError("cannot be read", file=path, got=error.strerror or str(error)) from error
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    """Output of a git command on this checkout; None if git is missing or refuses."""
    program = shutil.which("git")
    if program is None:
        return None
    # Inside a git hook these variables point at the repository that is being committed to, which need not be ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are constants of this file
            [program, "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, env=environment, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
