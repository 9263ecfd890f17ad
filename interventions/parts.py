"""Interventions as a tree of plain values with named tensors, and back: what a bundle holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from files.errors import InputError
from files.readers import require
from interventions.applied import Combined, Intervention, find_module
from interventions.calls import Phase, Positions
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.neurons import AddNeurons, ClampNeurons, InduceNeurons, ScaleNeurons
from interventions.places import Places
from interventions.residual import AddDirection
from interventions.rowwise import PerRow
from interventions.weights import LowRank, LowRankEdit

Tree = dict[str, Any]
_Tables = Mapping[int, Tensor]
# How each kind is made from its tables (P, K, W), its strengths and its options.
_MAKERS: dict[str, Callable[[Places, _Tables, Tensor, Mapping[str, Any]], PerRow]] = {
    ShiftHeads.kind: lambda places, tables, strength, _: ShiftHeads(places, _column(tables, 0), strength),
    AddDirection.kind: lambda places, tables, strength, _: AddDirection(places, _column(tables, 0), strength),
    AddNeurons.kind: lambda places, tables, strength, options: AddNeurons(
        places, _column(tables, 0), options["at"], strength
    ),
    ScaleNeurons.kind: lambda places, tables, strength, options: ScaleNeurons(
        places, _column(tables, 0), options["at"], strength
    ),
    ClampNeurons.kind: lambda places, tables, strength, options: ClampNeurons(
        places, _column(tables, 0), _column(tables, 1), options["at"], strength
    ),
    InduceNeurons.kind: lambda places, tables, strength, _: InduceNeurons(
        places, _column(tables, 0), _column(tables, 1), strength
    ),
}
_ADAPTER_PREFIX = "base_model.model."


def taken_apart(intervention: Intervention, name: str = "0") -> tuple[Tree, dict[str, Tensor]]:
    """The tree and the tensors of an intervention; each row is that of one persona.

    Args:
        intervention: Any that bundles know.
        name: What the names of its tensors begin with.

    Raises:
        TypeError: Bundles do not know this kind.
    """
    if isinstance(intervention, Combined):
        parts = [taken_apart(part, f"{name}.{number}") for number, part in enumerate(intervention.parts)]
        tensors = {key: value for _, some in parts for key, value in some.items()}
        return {"kind": "combined", "parts": [tree for tree, _ in parts]}, tensors
    if isinstance(intervention, Limited):
        tree, tensors = taken_apart(intervention.intervention, name)
        limits = {"phase": intervention.phase, "positions": intervention.positions}
        return {"kind": "limited", **limits, "part": tree}, tensors
    if isinstance(intervention, PerRow) and intervention.kind in _MAKERS:
        plain = intervention.resolved()
        tree = {
            "kind": plain.kind,
            "layers": list(plain.layers),
            "strength": plain.strength.tolist(),
            "options": plain.options,
            "tensors": name,
        }
        return tree, {f"{name}.{layer}": table.detach() for layer, table in plain.tables.items()}
    if isinstance(intervention, LowRankEdit):
        edit = _plain_edit(intervention)
        paths = [path.removeprefix(_ADAPTER_PREFIX) for path in edit.weights]
        tensors = {}
        for number, change in enumerate(edit.weights.values()):
            tensors[f"{name}.{number}.u"] = change.u.detach()
            tensors[f"{name}.{number}.v"] = (change.v * change.scale).detach()
        return {"kind": "weights", "modules": paths, "tensors": name}, tensors
    raise TypeError(f"a bundle cannot hold a {type(intervention).__name__}")


def put_together(
    tree: Tree, tensors: Mapping[str, Tensor], model: nn.Module, places: Places, file: str | Path
) -> Intervention:
    """The intervention of a tree and its tensors, for a model.

    Args:
        tree: From `taken_apart`.
        tensors: Likewise.
        model: The model it is for.
        places: Of the model.
        file: Where it was read from, for messages.

    Raises:
        InputError: The tree is not one, a tensor is missing, or something does not fit the model.
    """
    kind = require(tree, "kind", str, file=file, row="header")
    if kind == "combined":
        parts = require(tree, "parts", list, file=file, row="header", allow_empty=True)
        return Combined([put_together(_object(part, file), tensors, model, places, file) for part in parts])
    if kind == "limited":
        inner = put_together(require(tree, "part", dict, file=file, row="header"), tensors, model, places, file)
        phase: Any = _one_of(tree, "phase", get_args(Phase), file)
        positions: Any = _one_of(tree, "positions", get_args(Positions), file)
        return Limited(inner, phase=phase, positions=positions)
    name = require(tree, "tensors", str, file=file, row="header")
    if kind == "weights":
        paths = require(tree, "modules", list, file=file, row="header")
        return LowRankEdit(
            {
                _module_path(model, str(path)): LowRank(
                    _tensor(tensors, f"{name}.{number}.u", 3, file), _tensor(tensors, f"{name}.{number}.v", 3, file)
                )
                for number, path in enumerate(paths)
            }
        )
    if kind not in _MAKERS:
        known = ", ".join((*_MAKERS, "weights", "combined", "limited"))
        raise InputError(
            "unknown kind of intervention", file=file, row="header", field="kind", expected=known, got=kind
        )
    layers = require(tree, "layers", list, file=file, row="header")
    strength = require(tree, "strength", list, file=file, row="header")
    options = require(tree, "options", dict, file=file, row="header", allow_empty=True)
    tables = {layer: _tensor(tensors, f"{name}.{layer}", 3, file) for layer in layers}
    try:
        return _MAKERS[kind](places, tables, torch.tensor(strength, dtype=torch.float32), options)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"a damaged header: {error}", file=file, row="header", field=kind) from error


def joined(interventions: Sequence[Intervention]) -> Intervention:
    """Interventions of one make as one, with the rows of all of them.

    Raises:
        ValueError: They differ in more than their numbers.
    """
    first = interventions[0]
    if len({type(one) for one in interventions}) == 1:
        if isinstance(first, Combined):
            columns = zip(*(one.parts for one in interventions if isinstance(one, Combined)), strict=True)
            return Combined([joined(parts) for parts in columns])
        if isinstance(first, Limited):
            limited = [one for one in interventions if isinstance(one, Limited)]
            if len({(one.phase, one.positions) for one in limited}) == 1:
                inner = joined([one.intervention for one in limited])
                return Limited(inner, phase=first.phase, positions=first.positions)
        if isinstance(first, PerRow):
            return first.beside(*(one for one in interventions[1:] if isinstance(one, PerRow)))
        if isinstance(first, LowRankEdit):
            return _joined_edits([_plain_edit(one) for one in interventions if isinstance(one, LowRankEdit)])
    raise ValueError(
        f"expected interventions of one make but got {sorted({type(one).__name__ for one in interventions})}"
    )


def row_count(intervention: Intervention) -> int | None:
    """Number of personas of an intervention; None where it has no rows."""
    if isinstance(intervention, Combined):
        counts = [count for part in intervention.parts if (count := row_count(part)) is not None]
        return max(counts, default=None)
    if isinstance(intervention, Limited):
        return row_count(intervention.intervention)
    if isinstance(intervention, PerRow | LowRankEdit):
        return len(intervention) if intervention.assignment is None else len(intervention.assignment)
    return None


def layers_of(tree: Tree) -> list[int]:
    """The layers that a tree names, each once."""
    parts: Iterable[Tree] = tree.get("parts", [tree["part"]] if "part" in tree else [])
    return sorted({*tree.get("layers", []), *(layer for part in parts for layer in layers_of(part))})


def strength_of(tree: Tree) -> list[float] | None:
    """The strengths, one per persona, of the first part that has any."""
    parts: Iterable[Tree] = tree.get("parts", [tree["part"]] if "part" in tree else [])
    found = (strength for part in parts if (strength := strength_of(part)) is not None)
    return tree["strength"] if "strength" in tree else next(found, None)


def _column(tables: _Tables, number: int) -> dict[int, Tensor]:
    return {layer: table[:, number] for layer, table in tables.items()}


def _plain_edit(edit: LowRankEdit) -> LowRankEdit:
    """The same with one edit per batch row that it is laid out for."""
    if edit.assignment is None:
        return edit
    chosen = list(edit.assignment)
    return LowRankEdit({path: LowRank(c.u[chosen], c.v[chosen], c.scale) for path, c in edit.weights.items()})


def _joined_edits(edits: Sequence[LowRankEdit]) -> LowRankEdit:
    """The edits of all, their factors padded with zeros to one number."""
    weights = {}
    for path in dict.fromkeys(path for edit in edits for path in edit.weights):
        like = next(edit.weights[path] for edit in edits if path in edit.weights)
        rank = max(edit.weights[path].u.shape[1] for edit in edits if path in edit.weights)
        u = like.u.new_zeros(sum(len(edit) for edit in edits), rank, like.u.shape[2])
        v = like.v.new_zeros(len(u), rank, like.v.shape[2])
        start = 0
        for edit in edits:
            if path in edit.weights:
                change = edit.weights[path]
                u[start : start + len(edit), : change.u.shape[1]] = change.u
                v[start : start + len(edit), : change.v.shape[1]] = change.v * change.scale
            start += len(edit)
        weights[path] = LowRank(u, v)
    return LowRankEdit(weights)


def _module_path(model: nn.Module, path: str) -> str:
    """The path of a module in this model, which an adapter may have wrapped."""
    wrapped = f"{_ADAPTER_PREFIX}{path}"
    names = {name for name, _ in model.named_modules()}
    chosen = wrapped if path not in names and wrapped in names else path
    find_module(model, chosen)
    return chosen


def _tensor(tensors: Mapping[str, Tensor], name: str, dims: int, file: str | Path) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None or tensor.dim() != dims or not tensor.is_floating_point():
        raise InputError(
            "a tensor of the bundle is missing or not what its header says",
            file=file,
            field=name,
            expected=f"floating-point numbers in {dims} dimensions",
            got=None if tensor is None else (tensor.dtype, tuple(tensor.shape)),
            fix="save the bundle again",
        )
    return tensor


def _object(value: Any, file: str | Path) -> Tree:
    if not isinstance(value, dict):
        raise InputError("a damaged header", file=file, row="header", field="parts", expected="objects", got=value)
    return value


def _one_of(tree: Tree, field: str, known: Sequence[str], file: str | Path) -> str:
    value = require(tree, field, str, file=file, row="header")
    if value not in known:
        raise InputError("no such choice", file=file, row="header", field=field, expected=", ".join(known), got=value)
    return value
