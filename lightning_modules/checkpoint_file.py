"""The one file that a checkpoint's weights are read from, however many its strategy has written."""

from __future__ import annotations

from pathlib import Path

from files.errors import InputError

OPTION = "--ckpt_path"
# What callbacks.whole_weights.WholeWeights writes.
_WHOLE = "weights.ckpt"


def plain_checkpoint(path: str | Path) -> Path:
    """The checkpoint file that holds all that was trained, for a checkpoint that some strategies write as a folder.

    Args:
        path: A checkpoint, or the folder of a sharded one.

    Raises:
        InputError: A sharded one has no plain file beside it.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    whole = path.parent / _WHOLE
    if not whole.is_file():
        raise InputError(
            "is a folder of shares of a model, which only the strategy that wrote it can read",
            file=path,
            field=OPTION,
            expected=f"{whole.name} beside it, which callbacks.whole_weights.WholeWeights writes when training ends",
            fix="let the run end with that callback (configs/cluster/deepspeed-zero3.yaml has it), then try again",
        )
    return whole
