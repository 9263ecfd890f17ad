"""Writes what a method has learnt of each persona as bundles, to be loaded, scaled and combined elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from lightning.pytorch import Callback, LightningModule, Trainer

from files.atomic import ensure_writable_folder
from files.errors import InputError
from interventions.bundle import Bundle, save_bundle

EVERYBODY = "everybody.safetensors"
LONGEST_NAME = 150


@runtime_checkable
class Bundling(Protocol):
    """A module whose result is one bundle for each kind of prompt.

    Attributes:
        stated_prompts: The kinds of prompts under which a persona has one shift, whatever is asked.
    """

    stated_prompts: list[str]

    def bundle(self, prompt: str) -> Bundle:
        """What was learnt of everybody, for one kind of prompt."""


def file_stem(name: str) -> str:
    """A name as part of a file's name: it leads to no other folder, and a long one is cut and told apart by its hash.

    >>> file_stem("../Ann"), len(file_stem("x" * 1000))
    ('..%2FAnn', 163)
    """
    quoted = quote(name, safe="")
    if len(quoted) <= LONGEST_NAME:
        return quoted
    return f"{quoted[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


class SaveBundles(Callback):
    """Saves a bundle of everybody, and one of each persona, when training ends.

    They lie in a folder for each kind of prompt: `everybody.safetensors` and `case-<name>.safetensors`.

    Args:
        folder: Where to, below the folder of the run.
        each: Whether to write a file for each persona beside the one of everybody.
    """

    def __init__(self, folder: str = "bundles", each: bool = True) -> None:
        self.folder = folder
        self.each = each

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prove that there will be something to write, and that it can be written.

        Raises:
            InputError: If the module has no bundles, or the folder cannot be written.
        """
        if not isinstance(pl_module, Bundling):
            raise InputError(
                "the module has no bundles to save",
                field="trainer.callbacks",
                expected="a module such as lightning_modules.pas.PASModule",
                got=type(pl_module).__name__,
                fix="remove callbacks.save_bundles.SaveBundles from the settings",
            )
        if trainer.is_global_zero:
            ensure_writable_folder(Path(trainer.default_root_dir) / self.folder)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write them."""
        if not trainer.is_global_zero or not isinstance(pl_module, Bundling):
            return
        for prompt in pl_module.stated_prompts:
            target = Path(trainer.default_root_dir) / self.folder / prompt
            bundle = pl_module.bundle(prompt)
            save_bundle(target / EVERYBODY, bundle)
            for name in bundle.personas if self.each else ():
                save_bundle(target / f"case-{file_stem(name)}.safetensors", bundle.only(name))
