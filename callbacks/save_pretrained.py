"""Writes the trained model as transformers does, so that any program can load it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from callbacks.whole_weights import whole_state
from files.atomic import ensure_writable_folder
from files.errors import InputError

_NUMBER_FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class SavePretrained(Callback):
    """Exports the model and its tokenizer with every checkpoint and when training ends.

    Args:
        folder: Where to, below the folder of the run. A path that starts with `/` or `./` is taken as it is.
        dtype: Number format of the weights.
    """

    def __init__(self, folder: str = "model", dtype: Literal["float32", "float16", "bfloat16"] = "float16") -> None:
        self.folder = folder
        self.dtype = dtype

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prove that the folder can be written before any work is done."""
        if trainer.is_global_zero:
            ensure_writable_folder(self._target(trainer))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Export beside the checkpoint."""
        self._export(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export the final weights."""
        self._export(trainer, pl_module)

    def _export(self, trainer: Trainer, pl_module: LightningModule) -> None:
        lm, tokenizer = getattr(pl_module, "lm", None), getattr(pl_module, "tokenizer", None)
        if not isinstance(lm, PreTrainedModel) or tokenizer is None:
            return
        if any(isinstance(parameter, DTensor) for parameter in lm.parameters()):
            state = whole_state(lm)
            lm = plain_model(lm, state) if trainer.is_global_zero else lm
        if trainer.is_global_zero:
            export_model(lm, tokenizer, self._target(trainer), _NUMBER_FORMATS[self.dtype])

    def _target(self, trainer: Trainer) -> Path:
        if self.folder.startswith(("/", "./")):
            return Path(self.folder)
        return Path(trainer.default_root_dir) / self.folder


def plain_model(lm: PreTrainedModel, state: Mapping[str, Tensor]) -> PreTrainedModel:
    """A model in one piece, of one whose weights processes share.

    Args:
        lm: The shared model.
        state: Its weights, put together; they become those of the result.
    """
    with torch.device("meta"):
        plain: PreTrainedModel = AutoModelForCausalLM.from_config(lm.config)
    plain.load_state_dict(state, assign=True)
    plain.tie_weights()
    return plain


def export_model(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path, dtype: torch.dtype
) -> None:
    """Write weights, settings and tokenizer to a folder; each file is replaced as a whole.

    Args:
        lm: The model; its own weights are not touched.
        tokenizer: Its tokenizer.
        folder: Where to.
        dtype: Number format of the written weights.

    Raises:
        InputError: The folder cannot be written.
    """
    target = ensure_writable_folder(folder)
    # Written beside the target and then moved file by file: a stop in between leaves whole files.
    fresh = target / ".fresh.tmp"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        with _quiet():
            deepcopy(lm).to(dtype).save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        mode = (fresh / "config.json").stat().st_mode
        for file in sorted(fresh.iterdir()):
            # The weights come readable by their owner alone; a model is as readable as what lies beside it.
            file.chmod(mode)
            file.replace(target / file.name)
    except OSError as error:
        raise InputError(
            "the model cannot be written", file=target, expected="a writable folder", got=error.strerror or str(error)
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """No second progress bar inside the one of the training."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
