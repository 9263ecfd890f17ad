"""Directions as control vectors of llama.cpp, in GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from files.errors import InputError
from interventions.applied import Combined, Intervention
from interventions.residual import AddDirection

EXTRA = 'pip install "oceantune[gguf]"'


def steps_of(intervention: Intervention) -> dict[int, Tensor] | None:
    """What an intervention adds to the output of each decoder block (D,), by its number.

    Args:
        intervention: Of one persona.

    Returns:
        None where it does anything but add directions at every token, which no control vector can do.
    """
    parts = intervention.parts if isinstance(intervention, Combined) else [intervention]
    steps: dict[int, Tensor] = {}
    for part in parts:
        if not isinstance(part, AddDirection):
            return None
        plain = part.resolved()
        if len(plain) != 1:
            return None
        for layer, table in plain.tables.items():
            step = table[0, 0].float().cpu() * float(plain.strength[0])
            steps[layer] = steps.get(layer, torch.zeros_like(step)) + step
    return steps


def refusal(steps: Mapping[int, Tensor] | None) -> str | None:
    """Why steps cannot be a control vector; None where they can."""
    if steps is None:
        return "llama.cpp adds a control vector at every token, and nothing else"
    if 0 in steps:
        return "llama.cpp cannot steer the first decoder block, layer 0"
    try:
        import gguf  # noqa: F401
    except ImportError:
        return f"the package gguf is not installed ({EXTRA})"
    return None


def write_control_vector(path: Path, steps: Mapping[int, Tensor], architecture: str) -> None:
    """Write steps as a control vector: a tensor `direction.k` for the output of decoder block k.

    Args:
        path: The file, in a folder that takes its name when it is whole.
        steps: As `steps_of` returns them.
        architecture: Kind of the model, a hint for the reader.

    Raises:
        InputError: They cannot be a control vector, or the package is not installed.

    Reference:
        llama.cpp, `common_control_vector_load` and `build_cvec`: block k from 0, of which 0 is refused.
    """
    reason = refusal(steps)
    if reason is not None:
        raise InputError(
            "there is no control vector of this",
            field="--form",
            expected="directions at every token, from decoder block 1 on",
            got=reason,
            fix=f"{EXTRA}, or export a bundle: --form bundle",
        )
    import gguf

    writer = gguf.GGUFWriter(str(path), "controlvector")
    writer.add_string("controlvector.model_hint", architecture)
    writer.add_uint32("controlvector.layer_count", len(steps))
    for layer, step in sorted(steps.items()):
        writer.add_tensor(f"direction.{layer}", step.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
