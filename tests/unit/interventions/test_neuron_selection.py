"""Selection of neurons, their files, and what is done to them."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from files.errors import InputError
from interventions.limited import Limited
from interventions.neuron_files import read_neurons, write_neurons
from interventions.neuron_selection import (
    drawn_to_keep,
    firing_rates,
    kept_by,
    neuron_set,
    percentiles,
    push_amounts,
    select_neurons,
)
from interventions.neurons import InduceNeurons
from interventions.places import places_of
from tests.models import random_model
from tests.unit.interventions.steered import batch, logits, numbers, texts

EDGES = torch.tensor([-torch.inf, 0.0, 0.5, torch.inf])
TABLE = torch.tensor([[1.0, 3.0, 0.4, 0.5, 0.25], [0.0, 2.0, 0.3, 0.5, 0.75], [1.0, 0.0, -0.1, 0.02, -torch.inf]])


def test_percentiles_at_the_border():
    histogram = torch.tensor([[95, 5, 0], [94, 6, 0], [94, 0, 6], [0, 0, 0]])
    assert percentiles(histogram, EDGES).tolist() == [-torch.inf, 0.0, 0.5, -torch.inf]
    assert percentiles(histogram.view(2, 2, 3).short(), EDGES, 0.5).tolist() == [[-torch.inf] * 2] * 2


def test_the_rule_of_selection():
    rates = torch.tensor([[0.9, 0.3, 0.35], [0.2, 0.5, 0.04]])
    other = torch.tensor([[0.1, 0.2, 0.30], [0.9, 0.5, 0.00]])
    top = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, -torch.inf]])

    def chosen(**options):
        found = select_neurons(rates, other, top, **options)
        return list(zip(found.layers.tolist(), found.neurons.tolist(), strict=True))

    assert chosen(minimum=0, threshold=0.09) == [(0, 0), (0, 1)]
    assert chosen(minimum=3, threshold=0.09) == [(0, 0), (0, 1), (0, 2)]
    assert chosen(minimum=4, threshold=0.09) == [(0, 0), (0, 1), (0, 2), (1, 1)]
    assert chosen(minimum=4, threshold=0.09, rare="kept")[3] == (1, 2)
    assert len(chosen()) == 5 and len(chosen(rare="kept")) == 6
    for options in ({"minimum": -1}, {"threshold": 1.5}):
        with pytest.raises(InputError, match="out of range"):
            chosen(**options)
    with pytest.raises(ValueError, match="one counted token"):
        firing_rates(torch.zeros(2), 0)


def test_what_is_added():
    neurons = neuron_set(TABLE)
    amounts = push_amounts(neurons)
    assert amounts[2] == 0  # fires too rarely
    torch.testing.assert_close(amounts[0], 0.25 * torch.sigmoid(torch.tensor(2.5)))
    assert push_amounts(neurons, torch.tensor([False, True, True])).tolist()[0] == 0
    drawn = drawn_to_keep(4000, 0.1, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, drawn_to_keep(4000, 0.1, torch.Generator().manual_seed(1)))
    assert 0.88 < drawn.float().mean() < 0.92
    assert kept_by(torch.rand(9), 0.0).all()


def test_files_are_written_as_they_are_read(tmp_path):
    path = write_neurons(tmp_path / "Openness_dict.json", neuron_set(TABLE))
    content = json.loads(path.read_text())
    assert list(content) == ["1", "0"] and content["1"][1][4] is None and content["1"][0][:2] == [1, 3]
    assert torch.equal(read_neurons(path, 2, 4).table(), neuron_set(TABLE).table())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"2": [[2, 0, 0.5, 0.5, 1.0]]}, "layer 2, neuron 0, field 'layer': the model has no such neuron"),
        ({"1": [[1, 4, 0.5, 0.5, 1.0]]}, "field 'neuron': the model has no such neuron"),
        ({"1": [[1, -1, 0.5, 0.5, 1.0]]}, "no such neuron"),
        ({"1": [[1, 0.5, 0.5, 0.5, 1.0]]}, "no such neuron"),
        ({"1": [[0, 1, 0.5, 0.5, 1.0]]}, "layer 1, entry 0, field 'layer': stands under another layer"),
        ({"1" * 5000: [[1, 1, 0.5, 0.5, 1.0]]}, "another layer"),
        ({"first": [[0, 1, 0.5, 0.5, 1.0]]}, "another layer"),
        ({"1": [[1, 1, 0.5, 0.5, 1.0], [1, 1, 0.5, 0.5]]}, "layer 1, entry 1: is not a neuron"),
        ({"1": [[1, 1, "0.5", 0.5, 1.0]]}, "is not a neuron"),
        ({"1": [[1, 1, 1.5, 0.5, 1.0]]}, "field 'difference': is out of range"),
        ({"1": [[1, 1, 0.5, -0.5, 1.0]]}, "field 'rate': is out of range"),
        ({"1": [[1, 1, 0.5, 0.5, 1.0], [1, 1, 0.4, 0.5, 1.0]]}, "names a neuron twice"),
        ({"1": []}, "has no neurons"),
        ({}, "not a file of neurons"),
        ([], "not a file of neurons"),
    ],
)
def test_faulty_files_end_with_their_place(tmp_path, content, message):
    path = tmp_path / "Openness_dict.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_neurons(path, 2, 4)


def test_published_neurons_are_applied_to_a_model_of_their_shape(data_dir):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=272,
            hidden_size=64,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
        model = AutoModelForCausalLM.from_config(config).eval()
    places = places_of(model)
    layers, width = places.sites.num_layers, places.sites.mlp_width
    files = sorted((data_dir / "personality_bench" / "neuron_results").glob("*_dict.json"))
    assert len(files) >= 2
    push, hold = (read_neurons(path, layers, width) for path in files[:2])
    assert len(push) == sum(map(len, json.loads(files[0].read_text()).values()))
    amounts = push.dense(push_amounts(push), layers, width)
    ceilings = torch.where(hold.dense(torch.ones(len(hold)), layers, width) > 0, 0.0, torch.inf)
    induced = InduceNeurons(places, dict(enumerate(amounts)), dict(enumerate(ceilings)))
    given = batch(texts(), "left")
    base, steered = logits(model, given), logits(model, given, induced)
    assert steered.isfinite().all() and (steered - base).abs().max() > 1e-3
    assert torch.equal(logits(model, given, Limited(induced, phase="generated")), base)
    assert torch.equal(logits(model, given, induced.scaled(0.0)), base)


def test_neurons_are_held_and_then_pushed():
    places = places_of(random_model())
    width = places.sites.mlp_width
    amounts, ceilings = numbers(2, width), torch.where(numbers(2, width, seed=1) > 0, 0.0, torch.inf)
    induced = InduceNeurons(places, {1: amounts}, {1: ceilings})
    hidden = numbers(2, 3, width, seed=2)
    site = induced.sites[0]
    for strength in (1.0, 0.3):
        want = torch.minimum(hidden, ceilings[:, None]) + strength * amounts[:, None]
        torch.testing.assert_close(induced.scaled(strength).edit(site, hidden, hidden), want)
    torch.testing.assert_close((-induced).edit(site, hidden, hidden), hidden - amounts[:, None])
