"""The yardstick of the benchmark computes the same step as the project does."""

import pytest
import torch

from benchmarks.memory import peak_above
from benchmarks.mend import _move_from_the_start
from benchmarks.plain_mend import PlainMEND
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.outer import OuterOptions
from editors.selection import select_weights
from editors.training import judged_edits
from lm.sites import sites_of
from tests.models import random_model
from tests.unit.editors.batches import random_batch


@pytest.mark.parametrize("arch", ["llama", "gptj"])
def test_both_sides_agree(arch):
    model = random_model(arch, layers=3).requires_grad_(False)
    sites = sites_of(model)
    weights = select_weights(sites, last=2)
    halves = ModelHalves(model, [sites.block(k) for k in range(sites.num_layers)], weights.first)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Hypernetwork(weights.shapes(), -0.003, TransformOptions(rank=6, clip=None))
        _move_from_the_start(network)
    plain, options = PlainMEND(model, network, 0.1, 1.0), OuterOptions(counted="all", chunk_tokens=30)
    for seed in range(2):  # the second step begins with statistics
        batch = random_batch(edits=1, seed=seed)
        want = plain.step(batch)
        gradients = [parameter.grad.clone() for parameter in network.parameters()]
        network.zero_grad()
        judged = judged_edits(halves, network, weights.modules, batch, options)
        judged.surrogate.backward()
        torch.testing.assert_close(judged.losses.total, want.total)
        torch.testing.assert_close(judged.losses.locality.mean(), want.locality, rtol=1e-4, atol=1e-6)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())
        network.zero_grad()


def test_peak_memory_counts_what_was_held_in_between():
    held = 64 * 2**20
    # Freed blocks below a live one stay with the allocator, which would fill them again unseen.
    torch.ones(held // 12)  # freed at once: the next, smaller ones come from the heap
    blocks = [torch.ones(held // 16) for _ in range(12)]
    pin = [bytearray(2000) for _ in range(200)]
    del blocks

    def work():
        return torch.ones(held // 4).sum()

    assert 60 <= peak_above(work) <= 80
    del pin
