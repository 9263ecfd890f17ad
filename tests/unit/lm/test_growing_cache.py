"""States with room behind them are the library's own, number by number, whatever happens to them in between."""

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lm.growing_cache import ROOM, GrowingLayer, cache_after, growing_cache
from tests.models import random_model


def states(tokens, rows=2, seed=0):
    return torch.randn(rows, 3, tokens, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("tokens", [[5, *[1] * (ROOM + 3)], [1, ROOM, 2 * ROOM, 1, 1]])
def test_every_state_is_kept(tokens):
    ours, theirs = GrowingLayer(), DynamicLayer()
    for step, count in enumerate(tokens):
        for found, expected in zip(
            ours.update(states(count, seed=step), -states(count, seed=step)),
            theirs.update(states(count, seed=step), -states(count, seed=step)),
            strict=True,
        ):
            assert torch.equal(found, expected)
        assert ours.get_seq_length() == theirs.get_seq_length()


@pytest.mark.parametrize(
    "change", ["crop", "batch_select_indices", "reorder_cache", "batch_repeat_interleave", "reset"]
)
def test_rows_may_be_cut_chosen_and_put_in_order(change):
    argument = {"crop": (-2,), "batch_repeat_interleave": (2,), "reset": ()}.get(change, (torch.tensor([1, 0]),))
    ours, theirs = GrowingLayer(), DynamicLayer()
    for layer in (ours, theirs):
        layer.update(states(6), states(6, seed=1))
        getattr(layer, change)(*argument)
    rows = 4 if change == "batch_repeat_interleave" else 2
    for seed in (2, 3):
        new = states(1, rows, seed)
        for found, expected in zip(ours.update(new, -new), theirs.update(new, -new), strict=True):
            assert torch.equal(found, expected)


def test_states_that_it_begins_with_are_left_as_they_are():
    keys, values = states(4), states(4, seed=1)
    kept = keys.clone()
    held = [(keys.expand(2, -1, -1, -1), values)]
    for seed in (2, 3):  # a second pass after the same states
        layer = cache_after(held).layers[0]
        assert layer.keys.data_ptr() == keys.data_ptr()
        found, _ = layer.update(states(3, seed=seed), states(3, seed=seed))
        assert torch.equal(found, torch.cat([keys, states(3, seed=seed)], dim=-2))
    assert torch.equal(keys, kept) and not cache_after([]).layers


def test_gradients_pass_through():
    new = states(2).requires_grad_()
    with torch.enable_grad():
        layer = cache_after([(states(3), states(3))]).layers[0]
        for _ in range(2):
            found, _ = layer.update(new, new)
        found.sum().backward()
    assert torch.equal(new.grad, torch.full_like(new, 2.0))


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2"])
def test_layers_with_a_window_keep_the_librarys_states(arch):
    model = random_model(arch)
    layers = growing_cache(model).layers
    plain = DynamicCache(config=model.config).layers
    assert [type(layer) is GrowingLayer for layer in layers] == [type(layer) is DynamicLayer for layer in plain]
    assert any(type(layer) is GrowingLayer for layer in layers)
