"""The resumable loader: a function of (seed, epoch), cut and continued anywhere, shared out over processes."""

import pytest

from datamodules import base
from datamodules.base import ChatDataModule, ResumableLoader
from lm.loading import LMSpec


def loader(**changes):
    settings = {"batch_size": 3, "seed": 5, "shuffle": True, "drop_last": False, "num_workers": 0} | changes
    return ResumableLoader(list(range(11)), settings.pop("batch_size"), list, **settings)


def test_every_item_comes_once_per_epoch_in_another_order():
    stream = loader()
    epochs = [[item for batch in stream for item in batch] for _ in range(3)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] == [item for batch in loader() for item in batch]
    assert epochs[0] != [item for batch in loader(seed=6) for item in batch]


@pytest.mark.parametrize("cut", range(13))
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_stream_cut_anywhere_goes_on_as_if_it_had_not_been(cut, drop_last):
    straight, whole = loader(drop_last=drop_last), []
    states = []
    for _ in range(4):
        for batch in straight:
            whole.append(batch)
            states.append(straight.state_dict())
    fresh = loader(drop_last=drop_last)
    if cut:
        fresh.load_state_dict(states[cut - 1])
    rest = [batch for _ in range(4) for batch in fresh]
    assert rest[: len(whole) - cut] == whole[cut:]


def test_a_loop_that_stops_at_the_last_batch_without_asking_for_more_still_starts_the_next_epoch():
    stream = loader()
    taken = []
    for _ in range(2):
        batches = iter(stream)
        taken.append([next(batches) for _ in range(len(stream))])
    assert taken[0] != taken[1]
    assert stream.state_dict() == {"epoch": 1, "seen": 4, "items": 12}


def test_processes_share_the_items_out_evenly(monkeypatch):
    shares = []
    for rank in range(3):
        monkeypatch.setattr(base, "rank_and_world", lambda rank=rank: (rank, 3))
        stream = loader(batch_size=2)
        shares.append([item for batch in stream for item in batch])
        assert len(stream) == 2
    assert [len(share) for share in shares] == [3, 3, 3]
    assert len({item for share in shares for item in share}) == 9


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
@pytest.mark.parametrize("taken", [1, 2])
def test_another_number_of_processes_goes_on_with_the_items_that_are_left(monkeypatch, before, after, taken):
    def shares(world, state, batches):
        found, states, length = [], [], 0
        for rank in range(world):
            monkeypatch.setattr(base, "rank_and_world", lambda rank=rank: (rank, world))
            stream = ResumableLoader(list(range(23)), 2, list, seed=3)
            if state is not None:
                stream.load_state_dict(state)
            length = len(stream)
            found += [item for _, batch in zip(range(batches), stream, strict=False) for item in batch]
            states.append(stream.state_dict())
        assert all(one == states[0] for one in states)
        return found, states[0], length

    first, state, _ = shares(before, None, taken)
    rest, end, length = shares(after, state, 99)
    assert len(set(first)) == len(first) == before * taken * 2
    assert set(first).isdisjoint(rest) and len(set(rest)) == len(rest) == (23 - len(first)) // after * after
    assert end["seen"] == length == taken + -(-((23 - len(first)) // after) // 2)


def test_shares_of_an_evaluation_are_about_as_long_and_hold_every_item_once(tiny_lm_dir, monkeypatch):
    module = ChatDataModule(LMSpec(str(tiny_lm_dir)), batch_size=3)
    lengths = [(7 * number) % 40 + 1 for number in range(41)]
    found = []
    for rank in range(3):
        monkeypatch.setattr(base, "rank_and_world", lambda rank=rank: (rank, 3))
        batches = list(module.eval_loader(range(41), list, lengths=lengths))
        found.append([item for batch in batches for item in batch])
    assert sorted(item for share in found for item in share) == list(range(41))
    totals = [sum(lengths[item] for item in share) for share in found]
    assert max(totals) - min(totals) <= max(lengths) and all(share == sorted(share) for share in found)


@pytest.mark.parametrize("even", [False, True])
def test_processes_may_be_given_as_many_batches_each(tiny_lm_dir, monkeypatch, even):
    module = ChatDataModule(LMSpec(str(tiny_lm_dir)), batch_size=2)
    found = []
    for rank in range(2):
        monkeypatch.setattr(base, "rank_and_world", lambda rank=rank: (rank, 2))
        found.append(list(module.eval_loader(range(5), list, even=even)))
    assert found == [[[0, 2], [4]], [[1, 3], []] if even else [[1, 3]]]


def test_without_shuffling_the_order_is_that_of_the_data_and_a_batch_needs_an_item():
    assert [batch for batch in loader(shuffle=False)][0] == [0, 1, 2]
    with pytest.raises(ValueError, match="batch_size"):
        loader(batch_size=0)


def test_workers_change_neither_the_batches_nor_the_random_numbers_of_training():
    import torch

    before = torch.get_rng_state()
    assert list(loader(num_workers=1)) == list(loader())
    assert torch.equal(before, torch.get_rng_state())


def test_the_base_makes_loaders_for_training_and_evaluation(tiny_lm_dir, monkeypatch):
    module = ChatDataModule(LMSpec(str(tiny_lm_dir)), batch_size=2, seed=1)
    assert module.tokenizer is module.tokenizer
    assert sorted(item for batch in module.train_loader(range(4), list) for item in batch) == [0, 1, 2, 3]
    assert list(module.eval_loader(range(5), list)) == [[0, 1], [2, 3], [4]]
    monkeypatch.setattr(base, "rank_and_world", lambda: (1, 2))
    assert list(module.eval_loader(range(5), list)) == [[1, 3]]
