"""Sparse autoencoders in files: Gemma-Scope arrays (.npz, .safetensors) and SAELens folders, without their libraries.

A Gemma-Scope file holds `W_enc`, `b_enc`, `W_dec`, `b_dec` and `threshold` and says nothing of its place. A SAELens
folder has `cfg.json`, with a hook point, and `sae_weights.safetensors`. Nothing in either is executed or unpickled.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from files.atomic import atomic_write_bytes, write_json
from files.errors import InputError
from files.readers import read_json, require
from interventions.autoencoder import Architecture, AutoencoderForm, Normalization, SparseAutoencoder

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# Parameter of the network -> name in files.
_NAMES = {
    "encoder": "W_enc",
    "encoder_bias": "b_enc",
    "decoder": "W_dec",
    "decoder_bias": "b_dec",
    "threshold": "threshold",
}
_AFTER_BLOCK = re.compile(r"(?:blocks\.(\d+)\.hook_resid_post|(?:model\.)?layers\.(\d+)|transformer\.h\.(\d+))")
_BEFORE_BLOCK = re.compile(r"blocks\.(\d+)\.hook_resid_pre")
_SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class StoredAutoencoder:
    """A sparse autoencoder from a file.

    Attributes:
        network: Its weights, in float32.
        layer: The decoder block whose output it encodes, from 0; None where the file does not say.
        model: Name of the model it was trained on; empty where the file does not say.
        file: Where it came from.
    """

    network: SparseAutoencoder
    layer: int | None
    model: str
    file: Path


def read_autoencoder(path: str | Path) -> StoredAutoencoder:
    """Read a sparse autoencoder, in whichever format it is.

    Args:
        path: A SAELens folder, or a Gemma-Scope file.

    Raises:
        InputError: It is missing, damaged or of another kind, encodes something other than a block's output, or holds
            numbers that are not finite.
    """
    place = Path(path)
    if place.is_dir():
        return _read_folder(place)
    if not place.is_file():
        raise InputError(
            "does not exist",
            file=path,
            expected="a SAELens folder, or a .npz or .safetensors file",
            fix="check the path",
        )
    arrays = _read_safetensors(place) if place.suffix == _SAFETENSORS else _read_npz(place)
    tensors = {_canonical(name): value for name, value in arrays.items()}
    form = _form(tensors, place, {"architecture": "jumprelu" if "threshold" in tensors else "standard"})
    return StoredAutoencoder(_network(form, tensors, place), None, "", place)


def write_autoencoder(
    folder: str | Path, network: SparseAutoencoder, layer: int, model: str = "", dtype: torch.dtype = torch.float32
) -> Path:
    """Write a sparse autoencoder as a SAELens folder.

    Args:
        folder: Where to.
        network: What to write.
        layer: The decoder block whose output it encodes.
        model: Name of the model it was trained on.
        dtype: Number format of the weights in the file.

    Returns:
        The folder.

    Raises:
        InputError: It cannot be written.
    """
    form, target = network.form, Path(folder)
    hook = f"blocks.{layer}.hook_resid_post"
    config: dict[str, Any] = {
        "architecture": form.architecture,
        "d_in": form.width,
        "d_sae": form.features,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": form.centred,
        "normalize_activations": form.normalization,
        "reshape_activations": "none",
        "metadata": {"model_name": model, "hook_name": hook, "hook_layer": layer, "hook_head_index": None},
    }
    if form.architecture == "topk":
        config |= {"k": form.k, "rescale_acts_by_decoder_norm": form.by_decoder_norm}
    tensors = {
        _NAMES[name]: value.detach().to("cpu", dtype).contiguous() for name, value in network.state_dict().items()
    }
    # The settings last: a folder that has them is whole.
    atomic_write_bytes(target / WEIGHTS, save(tensors))
    write_json(target / CONFIG, config)
    return target


def _read_folder(folder: Path) -> StoredAutoencoder:
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise InputError("is not an object", file=folder / CONFIG, expected="the settings of SAELens", got=config)
    metadata = config.get("metadata")
    facts: Mapping[str, Any] = {**config, **(metadata if isinstance(metadata, dict) else {})}
    layer = _layer_of_hook(facts, folder / CONFIG)
    tensors = _read_safetensors(folder / WEIGHTS)
    form = _form(tensors, folder / CONFIG, config)
    return StoredAutoencoder(
        _network(form, tensors, folder / WEIGHTS), layer, str(facts.get("model_name") or ""), folder
    )


def _layer_of_hook(facts: Mapping[str, Any], file: Path) -> int:
    hook = facts.get("hook_name", facts.get("hook_point"))
    after = _AFTER_BLOCK.fullmatch(str(hook))
    if after is not None:
        return int(next(number for number in after.groups() if number is not None))
    before = _BEFORE_BLOCK.fullmatch(str(hook))
    if before is not None and int(before.group(1)) > 0:
        return int(before.group(1)) - 1  # what enters a block left the one before it
    raise InputError(
        "encodes something other than the output of a decoder block",
        file=file,
        field="hook_name",
        expected="blocks.N.hook_resid_post, or blocks.N.hook_resid_pre with N above 0",
        got=hook,
        fix="take an autoencoder of the residual stream",
    )


def _form(tensors: Mapping[str, Tensor], file: Path, config: Mapping[str, Any]) -> AutoencoderForm:
    """What an autoencoder computes, by its settings; sizes are those of its weights."""
    encoder = tensors.get("W_enc")
    if encoder is None or encoder.dim() != 2:
        got = None if encoder is None else tuple(encoder.shape)
        raise InputError(
            "holds no encoder", file=file, field="W_enc", expected="(width, features)", got=got or sorted(tensors)
        )
    width, features = encoder.shape
    for name, size in (("d_in", width), ("d_sae", features)):
        if name in config and config[name] != size:
            raise InputError("has weights of another size", file=file, field=name, expected=str(size), got=config[name])
    architecture, k = config.get("architecture", "standard"), config.get("k")
    if architecture == "standard" and config.get("activation_fn_str", config.get("activation_fn")) == "topk":
        architecture, k = "topk", (config.get("activation_fn_kwargs") or {}).get("k")
    normalization = config.get("normalize_activations", "none")
    for field, value, known in (
        ("architecture", architecture, get_args(Architecture)),
        ("normalize_activations", normalization, get_args(Normalization)),
        ("reshape_activations", config.get("reshape_activations", "none"), ("none",)),
    ):
        if value not in known:
            raise InputError(
                "is of a kind that is not known here",
                file=file,
                field=field,
                expected=", ".join(known),
                got=value,
                fix="take another autoencoder",
            )
    if architecture == "topk":
        k = require({"k": k}, "k", int, file=file)
    try:
        return AutoencoderForm(
            architecture=architecture,
            width=width,
            features=features,
            k=k if architecture == "topk" else None,
            centred=bool(config.get("apply_b_dec_to_input", False)),
            by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
            normalization=normalization,
        )
    except ValueError as error:
        raise InputError(str(error), file=file, field="k", got=k) from error


def _network(form: AutoencoderForm, tensors: Mapping[str, Tensor], file: Path) -> SparseAutoencoder:
    network = SparseAutoencoder(form)
    state = network.state_dict()
    unknown = sorted(tensors.keys() - {_NAMES[name] for name in state})
    if unknown:
        raise InputError(
            "holds a tensor that has no place in it",
            file=file,
            expected=", ".join(_NAMES[name] for name in state),
            got=unknown,
        )
    for name, wanted in state.items():
        value = tensors.get(_NAMES[name])
        if value is None or value.shape != wanted.shape or not value.is_floating_point():
            raise InputError(
                "a tensor is missing or has another shape",
                file=file,
                field=_NAMES[name],
                expected=str(tuple(wanted.shape)),
                got=None if value is None else (tuple(value.shape), str(value.dtype)),
                fix="fetch the file again",
            )
        if not bool(value.isfinite().all()):
            raise InputError(
                "holds numbers that are not finite", file=file, field=_NAMES[name], expected="finite numbers", got="nan"
            )
    network.load_state_dict({name: tensors[_NAMES[name]].float() for name in state})
    return network.requires_grad_(False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError("does not exist", file=path, expected="the weights of an autoencoder", fix="check the path")
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}", file=path, expected="a safetensors file", fix="fetch it again"
        ) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        # Opened here, because numpy leaves the file of a faulty archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            "cannot be read as arrays",
            file=path,
            expected="an .npz file of plain numbers, with nothing pickled in it",
            got=str(error),
            fix="fetch it again",
        ) from error


def _canonical(name: str) -> str:
    """Names as Gemma-Scope wrote them first; later files have them in small letters."""
    known = {value.lower(): value for value in _NAMES.values()}
    return known.get(name.lower(), name)
