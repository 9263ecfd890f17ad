"""Interventions in files: one safetensors file with a JSON header, bound to the model it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedModel

from files.atomic import atomic_write_bytes
from files.errors import InputError
from files.readers import require
from files.strict_json import parse_json
from interventions.applied import Intervention
from interventions.parts import Tree, joined, layers_of, put_together, row_count, strength_of, taken_apart
from interventions.places import Places, places_of
from lm.loading import model_hash

FORMAT = 1
_KEY = "oceantune"


@dataclass(frozen=True)
class ModelFacts:
    """What tells one model from another.

    Attributes:
        name: Its name or folder, for messages only.
        hash: Fingerprint of its weights.
        architecture: Its kind.
        layers: Number of decoder blocks.
        hidden_size: Width of a block's output.
        heads: Number of attention heads.
        head_dim: Width of one.
        mlp_width: Number of MLP neurons of a layer.
    """

    name: str
    hash: str
    architecture: str
    layers: int
    hidden_size: int
    heads: int
    head_dim: int
    mlp_width: int


@dataclass(frozen=True)
class Bundle:
    """An intervention, where it comes from and whom it is for.

    Attributes:
        intervention: With a row per persona.
        method: Name of the method that made it.
        personas: Names of the personas, one per row.
        model: The model it was made for.
        details: Whatever else the method wants to keep, of plain values.
    """

    intervention: Intervention
    method: str
    personas: tuple[str, ...]
    model: ModelFacts
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = row_count(self.intervention)
        if rows is not None and rows != len(self.personas):
            raise ValueError(f"expected a name for each of {rows} personas but got {len(self.personas)}")
        if len(set(self.personas)) != len(self.personas):
            raise ValueError(f"expected different names of personas but got {list(self.personas)}")

    def only(self, *personas: str) -> Bundle:
        """The bundle of some of its personas, in the order given.

        Raises:
            InputError: It has no persona of such a name.
        """
        unknown = [name for name in personas if name not in self.personas]
        if unknown:
            raise InputError(
                "the bundle has no such persona", expected=f"one of {', '.join(self.personas)}", got=unknown[0]
            )
        rows = self.intervention.rows([self.personas.index(name) for name in personas])
        return replace(self, intervention=rows, personas=personas)


def facts_of(model: PreTrainedModel, places: Places | None = None) -> ModelFacts:
    """What tells a model from others.

    Args:
        model: The model.
        places: Its places, if they are known already.
    """
    sites = (places or places_of(model)).sites
    return ModelFacts(
        name=str(getattr(model.config, "_name_or_path", "") or ""),
        hash=model_hash(model),
        architecture=model.config.get_text_config().model_type,
        layers=sites.num_layers,
        hidden_size=sites.hidden_size,
        heads=sites.num_heads,
        head_dim=sites.head_dim,
        mlp_width=sites.mlp_width,
    )


def save_bundle(path: str | Path, bundle: Bundle) -> Path:
    """Write a bundle as one safetensors file, with the header in its metadata.

    Args:
        path: The file.
        bundle: What to write.

    Returns:
        The file written.

    Raises:
        InputError: It cannot be written.
        TypeError: Bundles do not know the kind of intervention.
    """
    tree, tensors = taken_apart(bundle.intervention)
    header = {
        "format": FORMAT,
        "method": bundle.method,
        "model": asdict(bundle.model),
        "layers": layers_of(tree),
        "personas": list(bundle.personas),
        "strength": strength_of(tree),
        "intervention": tree,
        "details": dict(bundle.details),
    }
    text = json.dumps(header, ensure_ascii=False, allow_nan=False)
    stored = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
    return atomic_write_bytes(path, save(stored, metadata={_KEY: text}))


def read_header(path: str | Path) -> dict[str, Any]:
    """The header of a bundle, without its tensors.

    Raises:
        InputError: The file is missing or no bundle, or was written by a later version.
    """
    return _read(path, tensors=False)[0]


def load_bundle(
    path: str | Path,
    model: PreTrainedModel,
    *,
    sites: Mapping[str, Any] | None = None,
    other_weights: bool = False,
) -> Bundle:
    """Read a bundle for a model.

    Args:
        path: The file.
        model: The model it is to act on; it must be the one that the bundle was made for.
        sites: Module names for an architecture that is not known (`LMSpec.sites`).
        other_weights: Accept a model of the same architecture and sizes with other weights, such as a fine-tuned or
            quantised one.

    Raises:
        InputError: The file is missing, damaged or no bundle, or was made for another model (the message says in what
            they differ).
    """
    header, tensors = _read(path, tensors=True)
    facts = _facts(require(header, "model", dict, file=path, row="header"), path)
    places = places_of(model, sites)
    _check_model(facts, facts_of(model, places), path, other_weights)
    tree: Tree = require(header, "intervention", dict, file=path, row="header")
    personas = require(header, "personas", list, file=path, row="header", allow_empty=True)
    try:
        return Bundle(
            put_together(tree, tensors, model, places, path),
            require(header, "method", str, file=path, row="header"),
            tuple(str(name) for name in personas),
            facts,
            require(header, "details", dict, file=path, row="header", allow_empty=True),
        )
    except ValueError as error:
        raise InputError(f"a damaged bundle: {error}", file=path, fix="save it again") from error


def stack_bundles(bundles: Sequence[Bundle]) -> Bundle:
    """One bundle of all personas of several, which one method made for one model.

    Args:
        bundles: At least one; a name may occur once.

    Raises:
        InputError: They were made by different methods or for different models.
        ValueError: Their interventions differ in more than their numbers, or two personas have one name.
    """
    first = bundles[0]
    for other in bundles[1:]:
        if other.method != first.method:
            raise InputError("bundles of different methods", field="method", expected=first.method, got=other.method)
        _check_model(first.model, other.model, "bundle", other_weights=False)
    return Bundle(
        joined([bundle.intervention for bundle in bundles]),
        first.method,
        tuple(name for bundle in bundles for name in bundle.personas),
        first.model,
        first.details,
    )


def _check_model(made_for: ModelFacts, here: ModelFacts, file: str | Path, other_weights: bool) -> None:
    sizes = ("architecture", "layers", "hidden_size", "heads", "head_dim", "mlp_width")
    different = [name for name in sizes if getattr(made_for, name) != getattr(here, name)]
    if different:
        raise InputError(
            f"was made for another model (differs in {', '.join(different)})",
            file=file,
            field=f"model.{different[0]}",
            expected=_listed(made_for, different),
            got=_listed(here, different),
            fix="load the model it was made for, or make the bundle anew for this one",
        )
    if made_for.hash != here.hash and not other_weights:
        raise InputError(
            "was made for a model with other weights",
            file=file,
            field="model.hash",
            expected=f"{made_for.name or 'a model without a name'} ({made_for.hash[:12]})",
            got=f"{here.name or 'a model without a name'} ({here.hash[:12]})",
            fix="load the model it was made for; other_weights=True accepts a fine-tuned or quantised form of it",
        )


def _listed(facts: ModelFacts, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(facts, name)}" for name in names)


def _facts(record: Mapping[str, Any], file: str | Path) -> ModelFacts:
    texts = {name: require(record, name, str, file=file, row="header", allow_empty=True) for name in _TEXTS}
    numbers = {name: require(record, name, int, file=file, row="header") for name in _NUMBERS}
    facts: dict[str, Any] = {**texts, **numbers}
    return ModelFacts(**facts)


_TEXTS = ("name", "hash", "architecture")
_NUMBERS = ("layers", "hidden_size", "heads", "head_dim", "mlp_width")


def _read(path: str | Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not Path(path).is_file():
        raise InputError("no such file", file=path, expected="a bundle, one .safetensors file", fix="check the path")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"cannot be read: {error}", file=path, expected="a bundle, one .safetensors file", fix="save it again"
        ) from error
    if text is None:
        raise InputError(
            "is a safetensors file but no bundle", file=path, expected=f"a header under {_KEY!r} in its metadata"
        )
    header = parse_json(text, file=path)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        got = header.get("format") if isinstance(header, dict) else header
        raise InputError(
            "is a bundle of an unknown format",
            file=path,
            field="format",
            expected=str(FORMAT),
            got=got,
            fix="read it with the version of OceanTune that wrote it",
        )
    return header, found
