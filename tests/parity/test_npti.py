"""NPTI against the release: counting, selection and steering (golden cases `npti_*`)."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu
from transformers import AutoModelForCausalLM, LlamaConfig

from interventions.firing import Activity, FiringHistogram, percentile_edges
from interventions.neuron_selection import (
    NeuronSet,
    firing_rates,
    kept_by,
    neuron_set,
    percentiles,
    push_amounts,
    push_weights,
    select_neurons,
    select_poles,
)
from interventions.neurons import InduceNeurons
from interventions.places import Places, places_of
from tests.parity.golden import Instance, assert_matches, load_case

POLES = ("pos", "rev")


def _places(layers: int, width: int) -> Places:
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=4,
        intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    return places_of(AutoModelForCausalLM.from_config(config))


def _counted(instance: Instance, tensors: dict[str, Tensor], kind: str) -> list[Activity]:
    """What each layer's neurons did over the counted batches, read from activations or from what enters SiLU."""
    running = [FiringHistogram(percentile_edges()).start() for _ in range(instance["num_layers"])]
    for number, counts in enumerate(instance["counted"], start=1):
        given = tensors[f"batch{number}/{kind}"]
        batch = given if kind == "activation" else silu(given)
        for layer, hidden in enumerate(batch):
            mask = torch.full((1, len(hidden)), counts)
            running[layer].add(hidden.unsqueeze(0), mask, continues=number > 1)
    return [one.result() for one in running]


def test_counting(golden_dir: Path, subtests: pytest.Subtests) -> None:
    for instance in load_case(golden_dir, "npti_counting").instances:
        with subtests.test(instance.name):
            tensors = instance.tensors()
            if "counted" not in instance:
                assert torch.equal(percentile_edges(), tensors["edges"])
                continue
            kinds = {name.partition("/")[2] for name in tensors if name.startswith("batch")}
            assert kinds
            for kind in kinds:
                found = _counted(instance, tensors, kind)
                assert torch.equal(torch.stack([one.counts for one in found]).int(), tensors["over_zero"].int())
                assert torch.equal(torch.stack([one.histogram for one in found]).int(), tensors["histogram"].int())
                assert [one.tokens for one in found] == [instance["expected"]["token_num"]] * len(found)
                assert sum(one.tokens for one in found) == instance["expected"]["token_num_all_layers"]


def _by_place(table: Tensor) -> Tensor:
    """Rows in the order of layer and neuron."""
    return table[(table[:, 0] * 1e6 + table[:, 1]).argsort()]


@pytest.mark.parametrize("name", ["npti_selection", "npti_selection_default"])
def test_selection(name: str, golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, name)
    for instance in case.instances:
        with subtests.test(instance.name):
            tensors = instance.tensors()
            tokens = {pole: int(instance["token_num"][pole]) for pole in POLES}
            rates = {pole: firing_rates(tensors[f"{pole}/over_zero"], tokens[pole]) for pole in POLES}
            for pole, other in zip(POLES, reversed(POLES), strict=True):
                top = percentiles(tensors[f"{pole}/histogram"], percentile_edges())
                chosen = select_neurons(rates[pole], rates[other], top, instance["min_required"], rare="kept")
                got = {
                    "probability": rates[pole],
                    "difference": rates[pole] - rates[other],
                    "q95": top,
                    "selected": _by_place(chosen.table()),
                }
                want = {field: tensors[f"{pole}/{field}"] for field in got}
                want["selected"] = _by_place(want["selected"])
                assert torch.equal(got["selected"][:, :2], want["selected"][:, :2])
                for field, value in got.items():
                    assert_matches(value, want[field], case.tolerance, f"{pole}/{field}")
                assert len(chosen) == instance["expected"][pole]["n_selected"]
            _check_ours(instance, tensors, tokens)


def _check_ours(instance: Instance, tensors: dict[str, Tensor], tokens: dict[str, int]) -> None:
    """By default both ends at once are the release's, but for the neurons that nothing can be added to."""
    sides = [Activity(tensors[f"{pole}/over_zero"], tensors[f"{pole}/histogram"], tokens[pole]) for pole in POLES]
    both = select_poles(sides[0], sides[1], percentile_edges(), instance["min_required"])
    for pole, chosen in zip(POLES, both, strict=True):
        released = neuron_set(tensors[f"{pole}/selected"])
        assert chosen.percentile.isfinite().all() and push_amounts(chosen).isfinite().all()
        if released.percentile.isfinite().all():
            assert torch.equal(_by_place(chosen.table())[:, :2], _by_place(released.table())[:, :2])
        else:
            usable = int(tensors[f"{pole}/q95"].isfinite().sum())
            assert len(chosen) == min(len(released), usable)


def _induced(places: Places, change: NeuronSet, held: NeuronSet, strength: float, kept: Tensor | None) -> InduceNeurons:
    layers, width = places.sites.num_layers, places.sites.mlp_width
    amounts = change.dense(push_amounts(change, kept), layers, width)
    members = held.dense(torch.ones(len(held)), layers, width)
    ceilings = torch.where(members > 0, 0.0, torch.inf)
    return InduceNeurons(places, dict(enumerate(amounts)), dict(enumerate(ceilings)), strength)


def test_steering(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "npti_steering")
    for instance in case.instances:
        with subtests.test(instance.name):
            tensors = instance.tensors()
            if "gammas" in instance:
                _check_steering(instance, tensors, case.tolerance)
            elif "weight" in tensors:
                assert_matches(push_weights(tensors["difference"]), tensors["weight"], case.tolerance)
            else:  # a prompt, which the release tells by its length
                gate = silu(tensors["gate_preactivation"])
                everyone = neuron_set(torch.tensor([[0, n, 0.9, 0.9, 1.0] for n in range(gate.shape[-1])]))
                places = _places(1, gate.shape[-1])
                nothing = _induced(places, everyone, everyone, 1.0, None).scaled(0.0)
                left = nothing.edit(nothing.sites[0], gate, gate)
                assert_matches(left * tensors["up"], tensors["hidden"], case.tolerance)


def _check_steering(instance: Instance, tensors: dict[str, Tensor], tolerance: dict[str, float]) -> None:
    layers = range(instance["num_layers"])
    places = _places(len(layers), instance["n_neurons"])
    change, held = (
        neuron_set(torch.cat([tensors[f"layer{layer}/{kind}"] for layer in layers]))
        for kind in ("change", "deactivate")
    )
    weights = torch.cat([tensors[f"layer{layer}/weight"] for layer in layers])
    assert_matches(push_weights(change.difference), weights, tolerance, "weight")
    random = torch.cat([tensors[f"layer{layer}/random"] for layer in layers])
    kept = kept_by(random, 1 - instance["random_keep_threshold"])
    runs = {f"gamma_{gamma}/hidden": _induced(places, change, held, gamma, None) for gamma in instance["gammas"]}
    runs["random_hidden"] = _induced(places, change, held, instance["random_gamma"], kept)
    for name, induced in runs.items():
        for layer, site in zip(layers, induced.sites, strict=True):
            gate = silu(tensors[f"layer{layer}/gate_preactivation"])
            hidden = induced.edit(site, gate, gate) * tensors[f"layer{layer}/up"]
            assert_matches(hidden, tensors[f"layer{layer}/{name}"], tolerance, f"layer{layer}/{name}")
            added = f"layer{layer}/{name.removesuffix('hidden')}addition"
            if added in tensors:
                want = tensors[added]
                got = induced.tables[layer][0, 0] * induced.strength[0]
                assert_matches(got, want, tolerance, added)
