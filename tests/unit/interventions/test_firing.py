"""Counting of firing against plain counting, and what generated tokens are."""

import math

import pytest
import torch

import interventions.firing as firing
from interventions.firing import FiringHistogram, percentile_edges
from interventions.neuron_search import SearchOptions, answering_activity
from interventions.places import places_of
from interventions.recorded import recorded
from lm.chat import encode_prompts
from lm.generation import generate
from tests.models import ARCHITECTURES, byte_tokenizer, random_model
from tests.unit.interventions.steered import numbers


def plain(values, edges):
    """Counts and histogram of (N, W) values, one comparison per bin."""
    bins = [((values > low) & (values <= high)).sum(0) for low, high in zip(edges[:-1], edges[1:], strict=True)]
    return (values > 0).sum(0), torch.stack(bins, 1)


@pytest.mark.parametrize("waiting", [1, 30, 2**20])
def test_counts_are_plain_ones_however_many_values_wait(monkeypatch, waiting):
    monkeypatch.setattr(firing, "_WAITING", waiting)
    edges = torch.tensor([-1.0, 0.0, 0.5, math.inf])
    running = FiringHistogram(edges).start()
    kept = []
    for step in range(5):
        hidden = numbers(4, 3, 6, seed=step)
        hidden[0, 0, 0], hidden[1, 1, 1], hidden[2, 2, 2] = math.nan, 0.5, -math.inf
        mask = numbers(4, 3, seed=step + 10) > 0 if step else torch.ones(4, 3, dtype=torch.bool)
        running.add(hidden.clone(), mask, continues=step > 0)
        kept.append(hidden[mask])
    values = torch.cat(kept)
    counts, histogram = plain(values, edges)
    found = running.result()
    assert found.tokens == len(values)
    assert torch.equal(found.counts.long(), counts) and torch.equal(found.histogram.long(), histogram)
    assert running.result().tokens == len(values)  # asking does not change it


def test_half_precision_is_counted_by_its_own_values():
    hidden = numbers(2, 9, 5).bfloat16()
    running = FiringHistogram(percentile_edges()).start()
    running.add(hidden, torch.ones(2, 9, dtype=torch.bool), continues=False)
    counts, histogram = plain(hidden.flatten(0, 1).float(), percentile_edges())
    assert torch.equal(running.result().counts.long(), counts)
    assert torch.equal(running.result().histogram.long(), histogram)


def test_edges_must_rise():
    with pytest.raises(ValueError, match="edges"):
        FiringHistogram([0.0, 0.0]).start()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_only_what_is_generated_counts_whatever_the_batch(arch):
    model, tokenizer = random_model(arch), byte_tokenizer()
    chats = [[{"role": "user", "content": text}] for text in ("Hi", "Tell me of the sea", "No?")]
    places, edges = places_of(model), percentile_edges()
    together, alone = (
        answering_activity(model, tokenizer, places, chats, edges, SearchOptions(max_new_tokens=6, rows=rows))
        for rows in (3, 1)
    )
    assert together.histogram.shape == (2, places.sites.mlp_width, 301)
    assert together.tokens == alone.tokens
    assert (together.histogram.sum(-1) == together.tokens).all()
    texts = generate(model, tokenizer, chats, max_new_tokens=6, seed=0, batch_size=3)
    assert 0 < together.tokens <= 5 * len(texts)
    # rounding may carry a value over an edge, but hardly ever
    assert (together.histogram - alone.histogram).abs().sum() <= 4
    prompts = [torch.tensor(ids) for ids in encode_prompts(tokenizer, chats)]
    ends = answering_activity(
        model, tokenizer, places, chats, edges, SearchOptions(max_new_tokens=1, rows=2, watched="answers")
    )
    with recorded(model, [places.neurons(1, "gate")], "last") as recording:
        for prompt in prompts:
            model(input_ids=prompt[None])
    assert ends.tokens == len(chats)
    assert torch.equal(ends.counts[1], (recording[places.neurons(1, "gate")] > 0).sum(0))
    with recorded(model, [places.neurons(0, "gate")], FiringHistogram(edges), phase="generated") as recording:
        model(input_ids=prompts[0][None])
    assert recording[places.neurons(0, "gate")].tokens == 0
