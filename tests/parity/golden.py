"""Reading of the golden cases, and the one comparison that all parity tests use.

A parity test reads a case, walks over its instances and compares::

    def test_every_instance(golden_dir, subtests):
        case = load_case(golden_dir, "drawdown")
        for instance in case.instances:
            with subtests.test(instance.name):
                tensors = instance.tensors()
                assert_matches(our_function(**tensors), instance["expected"], case.tolerance)
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True)
class Instance:
    """One instance of a case: `instance["field"]` is the JSON as it stands, `instance.tensors()` its tensors.

    `in` and `get` work as on the JSON object. Strings for non-finite numbers are left alone here (a text may be "nan"):
    `assert_matches` and `number` read them where a number is meant.
    """

    name: str
    fields: Mapping[str, Any]
    tensor_file: Path | None

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    def get(self, field: str, default: Any = None) -> Any:
        """The field, or the default where the instance lacks it."""
        return self.fields.get(field, default)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Tensors by short name; with a prefix only those that begin with it, and without it in their names."""
        chosen = {name: key for name, key in self.fields.get("tensors", {}).items() if name.startswith(prefix)}
        if not chosen:
            return {}
        if self.tensor_file is None:
            raise ValueError(f"instance {self.name!r} names tensors, but its case names no tensor file")
        with safe_open(self.tensor_file, framework="pt") as file:
            return {name.removeprefix(prefix): file.get_tensor(key) for name, key in chosen.items()}


@dataclass(frozen=True)
class Case:
    """One golden case: the folder it lies in, its JSON header, its tolerance and its instances."""

    folder: Path
    header: Mapping[str, Any]
    instances: Sequence[Instance]

    @property
    def tolerance(self) -> dict[str, Any]:
        """`{"rtol", "atol"}`, or several of them by name."""
        return self.header["tolerance"]

    def instance(self, name: str) -> Instance:
        """The instance of this name, where one instance refers to another."""
        return next(instance for instance in self.instances if instance.name == name)


def load_case(folder: Path, case: str) -> Case:
    """Read `<folder>/<case>.json`; its tensors are read when asked for.

    Raises:
        ValueError: If the case holds no instance, since a test over none would pass without testing.
    """
    header = json.loads((folder / f"{case}.json").read_text(encoding="utf-8"))
    tensor_file = folder / header["tensor_file"] if header.get("tensor_file") else None
    instances = [Instance(fields["name"], fields, tensor_file) for fields in header.pop("instances")]
    if not instances:
        raise ValueError(f"golden case {case!r} in {folder} has no instances")
    return Case(folder, header, instances)


def number(value: Any) -> float:
    """A JSON number, where "nan", "inf" and "-inf" stand for what they say."""
    return NON_FINITE[value] if isinstance(value, str) else value


def assert_matches(got: Any, want: Any, tolerance: Mapping[str, float], where: str = "value") -> None:
    """Compare got with the golden value: `|got - want| <= atol + rtol * |want|`, nan equal to nan, shapes alike.

    Mappings are compared on the golden side's keys and sequences item by item. Booleans, texts and null must be equal.

    Raises:
        AssertionError: Naming the place of the first difference and both values.
    """
    if isinstance(want, Mapping):
        for key, part in want.items():
            assert key in got, f"{where}.{key} is missing: got {sorted(got)}"
            assert_matches(got[key], part, tolerance, f"{where}.{key}")
    elif isinstance(want, Tensor) or isinstance(got, Tensor) and got.ndim:
        _assert_tensors_match(_as_tensor(got), _as_tensor(want), tolerance, where)
    elif isinstance(want, list):
        assert len(got) == len(want), f"{where}: expected {len(want)} items, got {len(got)}"
        for position, (got_part, part) in enumerate(zip(got, want, strict=True)):
            assert_matches(got_part, part, tolerance, f"{where}[{position}]")
    elif isinstance(got, str) or want is None or isinstance(want, bool):
        assert got == want, f"{where}: expected {want!r}, got {got!r}"
    else:
        assert got is not None, f"{where}: expected {want!r}, got None"
        _assert_tensors_match(_as_tensor(got), _as_tensor(want), tolerance, where)


def _as_tensor(value: Any) -> Tensor:
    """Tensors as they are, numbers and lists of numbers in float64."""
    if isinstance(value, Tensor):
        return value

    def numbers(part: Any) -> Any:
        return [numbers(item) for item in part] if isinstance(part, list | tuple) else number(part)

    return torch.as_tensor(numbers(value), dtype=torch.float64)


def _assert_tensors_match(got: Tensor, want: Tensor, tolerance: Mapping[str, float], where: str) -> None:
    assert got.shape == want.shape, f"{where}: expected shape {tuple(want.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(
        got.detach().cpu().double(),
        want.cpu().double(),
        rtol=tolerance["rtol"],
        atol=tolerance["atol"],
        equal_nan=True,
        msg=lambda detail: f"{where}: {detail}",
    )
