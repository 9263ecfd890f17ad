"""The folder of a run: an unfinished run goes on, a finished one is replaced, and every checkpoint in it is whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from files.atomic import atomic_write_bytes, atomic_write_text, ensure_writable_folder, write_json
from files.errors import InputError
from files.readers import read_json

STATE_FILE, CONFIG_FILE = "run.json", "config.yaml"
CHECKPOINTS, LAST, LOGS = "checkpoints", "last.ckpt", "tensorboard"


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then swaps them.

    Lightning's own way goes through the system's folder for temporary files and, where that is on another disk, copies
    from there into place, which a kill can cut in half.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        atomic_write_bytes(path, buffer.getvalue())


class RunFolder(Callback):
    """Writes the settings into the folder of a run and notes whether the run has finished.

    Args:
        root: The folder.
        config: The resolved settings, as YAML.
        resumed: Whether this start goes on from a checkpoint; any other start clears what a finished run has left.
    """

    def __init__(self, root: str | Path, config: str, resumed: bool) -> None:
        self.config = config
        self.root = Path(root)
        self.resumed = resumed
        self.begun = False
        # Listed now, because the logger opens a file of its own before the data are read.
        self.before = _files_below(self.root, (CHECKPOINTS, LOGS))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Prove that the folder can be written before any work is done."""
        if trainer.is_global_zero:
            ensure_writable_folder(self.root)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the old run, now that nothing but training is left to do, and mark this one as unfinished."""
        self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        if self.begun or not trainer.is_global_zero:
            return
        self.begun = True
        if not self.resumed:
            for file in self.before:
                file.unlink(missing_ok=True)
        atomic_write_text(self.root / CONFIG_FILE, self.config)
        write_json(self.root / STATE_FILE, {"finished": False})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last checkpoint and mark the run as finished.

        Lightning's own is the last of its interval, which may lie before the end. Where there is none yet it writes one
        when training ends, under another name if this one were there already, so this one is written after that.
        """
        self._begin(trainer)  # where there was no step to take
        trainer.save_checkpoint(self.root / CHECKPOINTS / LAST)
        if trainer.is_global_zero and not trainer.interrupted:
            write_json(self.root / STATE_FILE, {"finished": True, "steps": trainer.global_step})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave nothing behind where model or data turned out to be faulty before the run began."""
        if self.begun or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.finalize("failed")
        for file in set(_files_below(self.root, (CHECKPOINTS, LOGS))) - set(self.before):
            file.unlink(missing_ok=True)
        for folder in (self.root / CHECKPOINTS, self.root / LOGS):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def checkpoint_to_go_on_from(root: str | Path) -> Path | None:
    """The last checkpoint of an unfinished run in a folder; None where there is none, or the run has finished.

    Raises:
        InputError: The folder's note about the run cannot be read.
    """
    state, last = Path(root) / STATE_FILE, Path(root) / CHECKPOINTS / LAST
    if not state.is_file() or not last.is_file():
        return None
    note = read_json(state)
    if not isinstance(note, dict) or not isinstance(note.get("finished"), bool):
        raise InputError(
            "not a note about a run",
            file=state,
            expected='{"finished": true or false}',
            got=note,
            fix="delete this file",
        )
    return None if note["finished"] else last


def _files_below(root: Path, folders: tuple[str, ...]) -> list[Path]:
    return [file for folder in folders for file in sorted((root / folder).rglob("*")) if not file.is_dir()]
