"""Files of a trait's neurons as they are published: `{layer: [[layer, neuron, difference, rate, percentile], ...]}`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from files.atomic import atomic_write_text
from files.errors import InputError
from files.readers import read_json
from files.whole_numbers import whole_number
from interventions.neuron_selection import NeuronSet, neuron_set

COLUMNS = ("layer", "neuron", "difference", "rate", "percentile")
_FIX = "take the file that was made for this model"


def read_neurons(path: str | Path, layers: int, width: int) -> NeuronSet:
    """Read the neurons of one end of a trait.

    A percentile of null stands for a neuron that fires too rarely to have one.

    Args:
        path: The file.
        layers: Number of layers of the model.
        width: Number of neurons of a layer.

    Returns:
        The neurons, by falling difference.

    Raises:
        InputError: The file is faulty, or names a layer or a neuron that the model does not have.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError(
            "is not a file of neurons",
            file=path,
            expected="an object that maps layers to lists of neurons",
            got=content,
        )
    table = torch.cat([_layer_table(name, rows, path) for name, rows in content.items()])
    _check(table, path, layers, width)
    return neuron_set(table[table[:, 2].argsort(descending=True, stable=True)])


def write_neurons(path: str | Path, neurons: NeuronSet) -> Path:
    """Write the neurons of one end of a trait in the published form.

    Args:
        path: The file.
        neurons: The neurons; layers are written in the order in which they first occur.

    Returns:
        The file written.
    """
    table = neurons.table()
    parts = []
    for layer in dict.fromkeys(neurons.layers.tolist()):
        rows = table[neurons.layers == layer].tolist()
        found = [[int(row[0]), int(row[1]), *row[2:4], row[4] if math.isfinite(row[4]) else None] for row in rows]
        parts.append(f'"{layer}": {json.dumps(found, allow_nan=False)}')
    return atomic_write_text(path, "{" + ",\n ".join(parts) + "}\n")


def _layer_table(name: str, rows: Any, path: str | Path) -> Tensor:
    """The neurons of one layer (m, 5) in float64."""
    if not isinstance(rows, list) or not rows:
        raise InputError(
            "has no neurons", file=path, field=name, expected="a list of neurons", got=rows, fix="leave the layer out"
        )
    bad = next((n for n, row in enumerate(rows) if not _is_row(row)), None)
    if bad is not None:
        raise InputError(
            "is not a neuron",
            file=path,
            row=f"layer {name}, entry {bad}",
            expected=f"five numbers: {', '.join(COLUMNS)}",
            got=rows[bad],
            fix="correct the entry",
        )
    table = torch.from_numpy(np.array(rows, dtype=np.float64))  # null becomes nan
    table[:, 4] = table[:, 4].nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    layer = whole_number(name)
    elsewhere = table[:, 0] != (math.nan if layer is None else layer)
    if bool(elsewhere.any()):
        entry = int(elsewhere.nonzero()[0])
        raise InputError(
            "stands under another layer",
            file=path,
            row=f"layer {name}, entry {entry}",
            field=COLUMNS[0],
            expected=f"layer {name}",
            got=rows[entry][0],
            fix="correct the entry",
        )
    return table


def _is_row(row: Any) -> bool:
    """Whether an entry has five numbers, of which the last may be null."""
    return (
        isinstance(row, Sequence)
        and len(row) == len(COLUMNS)
        and all(type(value) in (int, float) for value in row[:4])
        and (row[4] is None or type(row[4]) in (int, float))
    )


def _check(table: Tensor, path: str | Path, layers: int, width: int) -> None:
    """Refuse numbers that cannot be those of a model's neurons."""
    limits: Mapping[int, tuple[float, float, str]] = {
        0: (0, layers - 1, f"a layer from 0 to {layers - 1}"),
        1: (0, width - 1, f"a neuron from 0 to {width - 1}"),
        2: (-1, 1, "a difference of rates, from -1 to 1"),
        3: (0, 1, "a rate from 0 to 1"),
    }
    for column, (least, most, expected) in limits.items():
        values = table[:, column]
        whole = (values == values.floor()) if column < 2 else torch.ones_like(values, dtype=torch.bool)
        wrong = ~((values >= least) & (values <= most) & whole)
        if bool(wrong.any()):
            entry = table[wrong][0].tolist()
            value: Any = int(entry[column]) if column < 2 and entry[column].is_integer() else entry[column]
            raise InputError(
                "the model has no such neuron" if column < 2 else "is out of range",
                file=path,
                row=f"layer {entry[0]:g}, neuron {entry[1]:g}",
                field=COLUMNS[column],
                expected=expected,
                got=value,
                fix=_FIX,
            )
    places = table[:, 0] * width + table[:, 1]
    known, times = places.unique(return_counts=True)
    if bool((times > 1).any()):
        place = int(known[times > 1][0])
        raise InputError(
            "names a neuron twice",
            file=path,
            row=f"layer {place // width}, neuron {place % width}",
            expected="every neuron once",
            fix="remove one of the entries",
        )
