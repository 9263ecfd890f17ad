"""Directions, spreads and biases of attention heads against the release (golden case `pas_directions`)."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interventions.head_directions import by_layer, head_bias, mean_difference, projection_std, unit_directions
from tests.parity.golden import Case, Instance, assert_matches, load_case


def _directions(instance: Instance, tensors: dict[str, Tensor], as_released: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Differences, unit directions (L, H, D) and spreads (L, H)."""
    layers, heads, width = instance["num_layers"], instance["num_heads"], instance["head_dim"]
    features = tensors["activations"].unflatten(-1, (heads, width)).flatten(1, 2)
    difference = mean_difference(features, tensors["labels"].unsqueeze(0))
    units = unit_directions(difference, as_released=as_released)
    spread = projection_std(features, units)
    return tuple(x.squeeze(0).unflatten(0, (layers, heads)) for x in (difference, units, spread))


def _shift(instance: Instance, units: Tensor, spread: Tensor, alpha: float) -> Tensor:
    """The shift of every head (L, H, D), zeros where none was selected."""
    shift = torch.zeros_like(units)
    for layer, head in instance["intervention_order"]:
        shift[layer, head] = alpha * spread[layer, head] * units[layer, head]
    return shift


def _tolerance(case: Case, instance: Instance, name: str) -> Any:
    half = instance["activation_dtype"] == "float16" or name.startswith("bias_fp16")
    return case.tolerance["float16" if half else "float32"]


def test_every_instance(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "pas_directions")
    for instance in case.instances:
        with subtests.test(instance.name):
            tensors = instance.tensors()
            difference, units, spread = _directions(instance, tensors, as_released=True)
            order = by_layer([tuple(head) for head in instance["top_heads"]])
            assert [list(head) for head in order] == instance["intervention_order"]
            chosen = tuple(torch.tensor(order).T)
            got = {"com_directions": difference, "unit_direction": units[chosen], "proj_std": spread[chosen]}
            for alpha in instance["alphas"]:
                shift = _shift(instance, units, spread, alpha)
                for name, as_released in (("fp32", False), ("fp16", True)):
                    pairs = zip(tensors["o_proj_weight"], shift, strict=True)
                    got[f"bias_{name}/alpha_{alpha}"] = torch.stack(
                        [head_bias(weight, of_layer, as_released=as_released) for weight, of_layer in pairs]
                    )
            inputs = {"activations", "labels", "o_proj_weight"}
            assert set(got) == tensors.keys() - inputs
            for name, value in got.items():
                assert_matches(value, tensors[name], _tolerance(case, instance, name), name)
            layers = sorted({layer for layer, _ in order})
            assert layers == instance["layers_with_bias"]


def test_ours_differs_only_where_the_release_gives_nan(golden_dir: Path, subtests: pytest.Subtests) -> None:
    for instance in load_case(golden_dir, "pas_directions").instances:
        with subtests.test(instance.name):
            tensors = instance.tensors()
            released = _directions(instance, tensors, as_released=True)
            ours = _directions(instance, tensors, as_released=False)
            for theirs, mine in zip(released, ours, strict=True):
                assert mine.isfinite().all()
                finite = theirs.isfinite()
                assert torch.equal(mine[finite], theirs[finite]) and not mine[~finite].any()
