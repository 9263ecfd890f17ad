"""The one file that a checkpoint's weights are read from, however many its strategy has written."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from files.errors import InputError
from files.readers import check_ends

OPTION = "--ckpt_path"
# What callbacks.whole_weights.WholeWeights writes.
_WHOLE = "weights.ckpt"


def plain_checkpoint(path: str | Path) -> Path:
    """The checkpoint file that holds all that was trained, for a checkpoint that some strategies write as a folder.

    Args:
        path: A checkpoint, or the folder of a sharded one.

    Raises:
        InputError: A sharded one has no plain file beside it, or it is a device.
    """
    path = Path(path)
    if not path.is_dir():
        check_ends(path)
        return path
    whole = path.parent / _WHOLE
    if not whole.is_file() and path.suffix != ".ckpt":
        name_the_file(path)
    if not whole.is_file():
        raise InputError(
            "is a folder of shares of a model, which only the strategy that wrote it can read",
            file=path,
            field=OPTION,
            expected=f"{whole.name} beside it, which callbacks.whole_weights.WholeWeights writes when training ends",
            fix="let the run end with that callback (configs/cluster/deepspeed-zero3.yaml has it), then try again",
        )
    return whole


def check_whole(path: str | Path) -> None:
    """Compare every part of a checkpoint with its checksum, which reading it does not do.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is no file, is cut off, or a part of it is not what was written.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError("it is no file")  # opening a pipe would wait for somebody to write
    try:
        with zipfile.ZipFile(path) as parts:
            broken = parts.testzip()
    except FileNotFoundError:
        raise
    except Exception as error:  # there is no end to what a damaged file can make the reader raise
        raise ValueError(f"it is cut off or no checkpoint: {error}") from error
    if broken is not None:
        raise ValueError(f"its part {broken} does not match its checksum")


def instead_of(damaged: str | Path) -> str:
    """What to do about a damaged checkpoint: take the furthest other one of its folder that is whole.

    Steps in its name count more than its date: clocks jump.

    Args:
        damaged: The file.

    Example:
        >>> instead_of("no/such/folder/last.ckpt")
        'give another checkpoint, or train again (with --resume never, where a run is to go on from it)'
    """
    path = Path(damaged)
    others = [file for file in path.parent.glob("*.ckpt") if file.is_file() and file.name != path.name]
    for other in sorted(others, key=_progress, reverse=True):
        try:
            check_whole(other)
        except (OSError, ValueError):
            continue
        return f"give the newest one beside it that is whole: {OPTION} {other}"
    return "give another checkpoint, or train again (with --resume never, where a run is to go on from it)"


def _progress(file: Path) -> tuple[int, float]:
    steps = re.search(r"step=(\d+)", file.name)
    return int(steps[1]) if steps is not None else -1, file.stat().st_mtime


def name_the_file(folder: Path) -> None:
    """Say which file of a folder was meant.

    Args:
        folder: What was given as a checkpoint.

    Raises:
        InputError: It is a folder with checkpoints in it, or with nothing of the kind; not where a strategy has shared
            a model out into it.
    """
    files = sorted(folder.glob("*.ckpt")) + sorted(folder.glob("checkpoints/*.ckpt"))
    last = [file for file in files if file.name == "last.ckpt"]
    meant = [*last, *files][:1]
    if meant or not _is_shared_out(folder):
        raise InputError(
            "is a folder",
            file=folder,
            field=OPTION,
            expected="a checkpoint, which is a file",
            got=[str(file.relative_to(folder)) for file in files],
            fix=f"give the file in it: {OPTION} {meant[0]}"
            if meant
            else "give a file of a run, such as checkpoints/last.ckpt",
        )


def _is_shared_out(folder: Path) -> bool:
    """Whether it looks like what a strategy writes: PyTorch's distributed checkpoints and DeepSpeed's."""
    return any(folder.glob(".metadata")) or (folder / "checkpoint").is_dir() or (folder / "latest").is_file()
