"""Which prompts run together, and the states they start from."""

import random

import pytest
import torch

from lm.passes import Rows, forward, padded
from lm.prefix import PrefixCache, common_length, plan_batches, repeated
from tests.models import random_model


def _prompts(seed: int, count: int) -> list[list[int]]:
    """Distinct prompts with nested common beginnings of many lengths."""
    draw = random.Random(seed)
    stems: list[list[int]] = [[1]]
    for _ in range(12):
        stem = draw.choice(stems)
        stems.append([*stem, *(draw.randrange(5) for _ in range(draw.choice((1, 30, 300))))])
    found = {
        tuple([*draw.choice(stems), *(draw.randrange(5) for _ in range(draw.randrange(0, 12)))]) for _ in range(count)
    }
    return [list(prompt) for prompt in found]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_every_prompt_is_planned_once_with_a_beginning_it_has(seed: int, batch_size: int) -> None:
    prompts = _prompts(seed, 120)
    keys = [len(prompt) % 2 for prompt in prompts]
    batches = plan_batches(prompts, keys, batch_size)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(prompts)))
    for batch in batches:
        assert 1 <= len(batch.items) <= batch_size
        first = prompts[batch.items[0]]
        assert all(prompts[item][: batch.shared] == first[: batch.shared] for item in batch.items)
        assert all(len(prompts[item]) > batch.shared for item in batch.items)
        assert not batch.shared or len({keys[item] for item in batch.items}) == 1


def test_nested_beginnings_are_both_used() -> None:
    person = [[key] * 400 for key in (1, 2)]
    prompts = [[*stem, 3, 3, question] for stem in person for question in range(20)]
    batches = plan_batches(prompts, [0] * 40, batch_size=8)
    assert {batch.shared for batch in batches} == {402} and len(batches) == 6


def test_short_common_beginnings_are_not_worth_a_pass() -> None:
    prompts = [[1, 2, 3, number] for number in range(6)]
    assert [batch.shared for batch in plan_batches(prompts, [0] * 6, batch_size=8)] == [0]


def test_other_keys_share_nothing() -> None:
    prompts = [[*[1] * 500, number] for number in range(6)]
    assert {batch.shared for batch in plan_batches(prompts, list(range(6)), batch_size=8)} == {0}


def test_deep_nesting_ends() -> None:
    prompts = [[1] * length for length in range(1, 600)]
    batches = plan_batches(prompts, [0] * len(prompts), batch_size=16)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(prompts)))


def test_cached_states_are_those_computed_afresh() -> None:
    model = random_model()
    sequences = [[5, 6, 7, 8, 9], [5, 6, 7, 1], [5, 6], [5, 6, 7, 8], [9]]
    cache = PrefixCache(model, None)
    with torch.no_grad():
        for ids in sequences:
            fresh = PrefixCache(model, None).states(ids, 0)
            for found, expected in zip(cache.states(ids, 0), fresh, strict=True):
                torch.testing.assert_close(found, expected)
        key_one = cache.states([9], 1)
        assert [keys.shape[2] for keys, _ in key_one] == [1, 1]


def test_padding_side_does_not_matter() -> None:
    model = random_model("gpt2")
    rows = [[5, 6, 7, 8], [9, 10]]
    keys = torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        left, _ = forward(model, Rows(*padded(rows, "left", model.device), keys), None, last_only=False)
        right, _ = forward(model, Rows(*padded(rows, "right", model.device), keys), None, last_only=False)
        states = PrefixCache(model, None).states([5, 6, 7], 0)
        past = Rows(
            torch.tensor([[8]] * 2), torch.ones(2, 1).long(), keys, repeated(states, 2), torch.ones(2, 3).long()
        )
        cached, _ = forward(model, past, None, last_only=True)
    torch.testing.assert_close(left[0], right[0])
    torch.testing.assert_close(left[1, 2:], right[1, :2])
    torch.testing.assert_close(cached[:, -1], left[0, -1].expand(2, -1))


def test_common_length() -> None:
    assert common_length([], [1]) == 0
    assert common_length([1, 2], [1, 2]) == 2
    assert common_length([2], [1]) == 0
