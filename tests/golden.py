"""Reading the recorded reference outputs: one JSON file per case, with the tensors beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class GoldenInstance:
    """One recorded call: its parameters and expected scalars (`fields`), and its tensors by their short names."""

    name: str
    fields: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def expected(self) -> dict[str, Any]:
        """The expected scalars, empty if everything expected is a tensor."""
        return self.fields.get("expected", {})


@dataclass(frozen=True)
class GoldenCase:
    """All instances of one case and the tolerance they are compared with."""

    instances: list[GoldenInstance]
    tolerance: dict[str, Any]
    fields: dict[str, Any]

    def assert_close(self, got: Tensor | float | None, want: Tensor | float | None, what: str) -> None:
        """Compare by value (nan equals nan, None equals only None) with the tolerance of the case."""
        if want is None or got is None:
            assert got is want, f"{what}: got {got}, want {want}"
            return
        left, right = (torch.as_tensor(value).detach().to(torch.float64) for value in (got, want))
        torch.testing.assert_close(
            left,
            right,
            rtol=self.tolerance["rtol"],
            atol=self.tolerance["atol"],
            equal_nan=True,
            msg=lambda text: f"{what}: {text}",
        )


def golden_case(folder: Path, name: str) -> GoldenCase:
    """Read `<name>.json` and the tensor file that it names; a case without instances is an error."""
    content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    stored = load_file(folder / content["tensor_file"]) if content.get("tensor_file") else {}
    instances = [
        GoldenInstance(
            name=fields["name"],
            fields=fields,
            tensors={short: stored[key] for short, key in fields.get("tensors", {}).items()},
        )
        for fields in content["instances"]
    ]
    if not instances:
        raise ValueError(f"{folder / name}.json holds no instances")
    return GoldenCase(instances=instances, tolerance=content["tolerance"], fields=content)
