"""Rebuilds a trained module from its checkpoint, for evaluation."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch
from transformers import PreTrainedModel

from files.assets import asset_path
from files.errors import InputError
from files.yaml_files import read_yaml
from lightning_modules.answering import RowIntervention
from lightning_modules.base import HEADER, PersonaModule
from lightning_modules.checkpoint_file import OPTION, check_whole, instead_of, plain_checkpoint
from lm.loading import LMSpec, freeze, load_model, without_adapter

PACKAGE = "lightning_modules."
LAST = Path("checkpoints", "last.ckpt")
EDITS = ("edit", "texts to edit by", "datamodules.personality_edit.EditDataModule")
"""What a module's `intervene` reads of a batch unless its `needs` says otherwise: field, meaning, an example."""


@dataclass
class TrainedMethod:
    """A trained module, ready to answer.

    Attributes:
        module: The module with its trained weights.
        base: The model as it was before training.
        model: The model that answers under the method; the base itself where the module intervenes in it.
    """

    module: PersonaModule
    base: PreTrainedModel
    model: PreTrainedModel

    @property
    def name(self) -> str:
        """What results call the method."""
        return self.module.method

    def intervene(self, batch: Any) -> RowIntervention | None:
        """How the module steers its model for a batch: one row per record; None where its weights say it all.

        Args:
            batch: A batch of the benchmark.

        Returns:
            The intervention, without gradients.

        Raises:
            InputError: If the batch lacks what this method learns an edit from.
        """
        if self.base is not self.model:
            return None
        needed, what, benchmark = getattr(self.module, "needs", EDITS)
        if not hasattr(batch, needed):
            raise InputError(
                f"the method {self.name} needs {what}, which this benchmark does not have",
                field="--data",
                expected=f"a benchmark such as {benchmark}",
                got=type(batch).__name__,
                fix="evaluate the checkpoint on another benchmark",
            )
        with torch.enable_grad():  # an edit is made from gradients
            intervention = cast(Any, self.module).intervene(batch)
        return intervention.detach() if hasattr(intervention, "detach") else intervention


def load_trained(path: str | Path, spec: LMSpec) -> TrainedMethod:
    """Build the module of a checkpoint around a model, with its weights, ready to answer beside the base model.

    Args:
        path: The checkpoint.
        spec: The model to put it on.

    Returns:
        The module in evaluation mode.

    Raises:
        InputError: If the file is no checkpoint, is damaged, or belongs to another module or model.
    """
    module = rebuilt(path, spec)
    module.eval().requires_grad_(False)
    base = module.lm if hasattr(module, "intervene") else freeze(load_model(without_adapter(spec)))
    return TrainedMethod(module, base, module.lm)


def rebuilt(path: str | Path, spec: LMSpec) -> PersonaModule:
    """Build the module of a checkpoint around a model and load its weights.

    The checkpoint says which module of this project it belongs to and what it was built with; the model is the one
    asked for, which must be the one it was trained on.

    Args:
        path: The checkpoint.
        spec: The model to put it on.

    Returns:
        The module.

    Raises:
        InputError: If the file is no checkpoint, is damaged, or belongs to another module or model.
    """
    checkpoint = read_checkpoint(path)
    try:
        header = checkpoint[HEADER]
        module = _built(str(header["class_path"]), dict(header["settings"]), spec)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "the checkpoint does not say how to rebuild its module",
            file=path,
            field=OPTION,
            expected="a checkpoint written by train.py of this version",
            got=str(error),
            fix="train again, or check out the version it was written with",
        ) from error
    try:
        module.configure_model()
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"])
    except InputError as error:
        # What is wrong with the run that this one began with keeps its own place.
        if error.field in (None, "ckpt_path"):
            error.file, error.field = path, OPTION
        raise
    return module


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Args:
        path: The file, or the folder of a sharded checkpoint, whose weights are then read from the file beside it.

    Returns:
        What it holds, with this project's header.

    Raises:
        InputError: If the file is missing, damaged, holds anything but plain data and tensors, or has no header.
    """
    path = plain_checkpoint(path)
    try:
        check_whole(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(
            "there is no such checkpoint",
            file=path,
            field=OPTION,
            expected="a file that train.py wrote, such as runs/quickstart/checkpoints/last.ckpt",
            fix="check the path, or train first",
        ) from error
    except Exception as error:  # there is no end to what a damaged file can make the reader raise
        raise InputError(
            "cannot be read as a checkpoint",
            file=path,
            field=OPTION,
            expected="a file that train.py wrote",
            got=str(error).strip().split("\n")[0] or type(error).__name__,
            fix=instead_of(path),
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(HEADER), dict):
        raise InputError(
            "the file was not written by train.py",
            file=path,
            field=OPTION,
            expected=f"a checkpoint with a header {HEADER!r}",
            got=sorted(map(str, checkpoint)) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__,
            fix="give a checkpoint of this project",
        )
    return checkpoint


def last_checkpoint(recipe: str) -> str:
    """The last checkpoint of the run that a settings file describes.

    Args:
        recipe: A settings file of `train.py`.

    Raises:
        InputError: The file cannot be read, names no folder, or nothing has been trained by it.
    """
    command = f"python train.py fit --config {recipe}"
    expected, fix = "a YAML file with trainer.default_root_dir", "correct it, or give --ckpt_path"
    problem = "is no settings file of a training"
    settings = read_yaml(asset_path(recipe), field="--trained_by", problem=problem, expected=expected, fix=fix)
    try:
        folder = Path(settings["trainer"]["default_root_dir"])
    except (KeyError, TypeError) as error:
        raise InputError(
            problem,
            file=recipe,
            field="--trained_by",
            expected=expected,
            got=settings,
            fix=fix,
        ) from error
    if not os.path.isfile(folder / LAST):  # also where the name is too long for any folder
        raise InputError(
            "nothing has been trained by these settings yet",
            file=recipe,
            field="--trained_by",
            expected=f"a checkpoint {folder / LAST}",
            fix=f"run {command}, or give another checkpoint as --ckpt_path",
        )
    return str(folder / LAST)


def _built(class_path: str, settings: dict[str, Any], spec: LMSpec) -> PersonaModule:
    """Build the module; only classes of this package, since a file must not choose what code runs."""
    package, _, name = class_path.rpartition(".")
    if not class_path.startswith(PACKAGE):
        raise ValueError(f"it names the class {class_path}, which is not one of {PACKAGE}*")
    try:
        kind = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"it names the class {class_path}, which does not exist") from error
    if not (isinstance(kind, type) and issubclass(kind, PersonaModule)):
        raise ValueError(f"it names {class_path}, which is no trained module")
    trained_on = settings.pop("lm", None) or {}
    tokens = trained_on.get("new_tokens")
    if (tokens or []) != (spec.new_tokens or []):
        raise InputError(
            "the checkpoint was trained with other new tokens",
            field=f"{OPTION}, model.init_args.lm.new_tokens",
            expected=str(tokens or []),
            got=spec.new_tokens or [],
            fix="set model.init_args.lm.new_tokens to those of the checkpoint",
        )
    adapters = {name: _typed(trained_on.get(name), get_type_hints(LMSpec)[name]) for name in ("lora", "peft")}
    adapted = replace(spec, **adapters)
    hints = get_type_hints(kind.__init__)
    if not any(adapters.values()) or "init_from" not in hints:
        settings.pop("init_from", None)  # all weights are in the checkpoint
    return kind(lm=adapted, **{name: _typed(value, hints.get(name)) for name, value in settings.items()})


def _typed(value: Any, hint: Any) -> Any:
    """A plain setting as what the constructor expects: groups of settings as their data class, fixed lists as tuples.

    Example:
        >>> from lm.adapters import LoRASpec
        >>> _typed({"r": 4}, LoRASpec | None).r, _typed([1, 2], tuple[int, int])
        (4, (1, 2))
    """
    kinds = [hint, *get_args(hint)]
    if isinstance(value, Mapping):
        for kind in kinds:
            if is_dataclass(kind) and isinstance(kind, type):
                inner = get_type_hints(kind)
                return kind(**{name: _typed(item, inner.get(name)) for name, item in value.items()})
    if isinstance(value, list) and any(get_origin(kind) is tuple for kind in kinds):
        return tuple(value)
    return value
