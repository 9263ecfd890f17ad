"""Which features of a sparse autoencoder stand for which background of a person, from the published files.

Reference: LLM-Persona-Steering (`features_<model>.json`), read as they are. Its lists of people are read by
`personas.backgrounds`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json, require


@dataclass(frozen=True)
class FeaturePatterns:
    """Features by attribute and value, for one layer of one model.

    Attributes:
        layer: The decoder block whose output the features are of.
        size: Number of features of the autoencoder.
        features: Attribute -> value -> what a feature is said to mean -> its number.
    """

    layer: int
    size: int
    features: Mapping[str, Mapping[str, Mapping[str, int]]]

    def of(self, background: Mapping[str, str]) -> tuple[dict[str, list[int]], list[tuple[str, str]]]:
        """The features of a person's attributes.

        Args:
            background: From attribute to value; an empty value says nothing.

        Returns:
            The features of each attribute that has some, and the attributes with values that the file does not know.

        Example:
            >>> patterns = FeaturePatterns(3, 9, {"Age": {"young": {"youth": 7}}})
            >>> patterns.of({"Age": "young", "Gender": ""}), patterns.of({"Age": "timeless"})
            (({'Age': [7]}, []), ({}, [('Age', 'timeless')]))
        """
        found: dict[str, list[int]] = {}
        unknown = []
        for attribute, value in background.items():
            if not value.strip():
                continue
            features = self.features.get(attribute, {}).get(value)
            if features is None:
                unknown.append((attribute, value))
            else:
                found[attribute] = list(features.values())
        return found, unknown


def read_feature_patterns(path: str | Path, attributes: Collection[str], layer: int | None = None) -> FeaturePatterns:
    """Read a pattern file.

    Args:
        path: A list with an object for each layer: `Layer`, `size` and `Details`.
        attributes: The attributes that there are.
        layer: Which layer to take, where there are several.

    Raises:
        InputError: The file is faulty, names an attribute that there is not, or lacks the layer.
    """
    content = _list(path)
    layers = [require(record, "Layer", int, file=path, row=row) for row, record in enumerate(content)]
    if (layer is None and len(layers) != 1) or (layer is not None and layer not in layers):
        raise InputError(
            "has no such layer" if layer is not None else "has several layers",
            file=path,
            field="Layer",
            expected=f"one of {', '.join(map(str, layers)) or 'none'}",
            got=layer,
            fix="name a layer of the file",
        )
    row = layers.index(layer) if layer is not None else 0
    record = content[row]
    size = require(record, "size", int, file=path, row=row)
    details = require(record, "Details", dict, file=path, row=row)
    _check_names(details, attributes, path, row, "Details")
    features: dict[str, dict[str, dict[str, int]]] = {}
    for attribute, values in details.items():
        for value in require(details, attribute, dict, file=path, row=row):
            meanings = require(values, value, dict, file=path, row=row, allow_empty=True)
            for meaning in meanings:
                number = require(meanings, meaning, int, file=path, row=row)
                _check_feature(number, size, path, row, f"{attribute}.{value}")
            features.setdefault(attribute, {})[value] = dict(meanings)
    return FeaturePatterns(layers[row], size, features)


def _list(path: str | Path) -> list[Any]:
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise InputError("is no list of records", file=path, expected="a list of objects", got=content)
    return content


def _check_names(given: Mapping[str, Any], known: Collection[str], path: str | Path, row: int, field: str) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            "names an attribute that there is not",
            file=path,
            row=row,
            field=field,
            expected=f"one of {', '.join(known)}",
            got=unknown[0],
            fix="correct the name",
        )


def _check_feature(number: int, size: int, path: str | Path, row: int, field: str) -> None:
    if not 0 <= number < size:
        raise InputError(
            "is no feature of the autoencoder",
            file=path,
            row=row,
            field=field,
            expected=f"0 to {size - 1}",
            got=number,
            fix="correct the number",
        )
