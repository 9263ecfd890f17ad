"""The corpus: windows that are functions of their number, and a stream cut and continued anywhere."""

import json

import pytest
import torch

from datamodules import corpus
from datamodules.corpus import CorpusDataModule, CorpusLoader
from datamodules.windows import FileChats, OrganismChats
from files.errors import InputError
from lm.chat import encode_chats
from lm.loading import LMSpec


def chat(number):
    answer = "Yes. " * (1 + number % 7)
    return [{"role": "user", "content": f"Question {number}"}, {"role": "assistant", "content": answer}]


@pytest.fixture
def chats_file(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": chat(number)}) + "\n" for number in range(30)))
    return path


def module(tiny_lm_dir, **settings):
    defaults = {"batches": 5, "tokens_per_batch": 128, "widths": [64, 128], "window": 8, "seed": 2, "num_workers": 0}
    return CorpusDataModule(LMSpec(str(tiny_lm_dir)), **(defaults | settings))


def ready(tiny_lm_dir, **settings):
    data = module(tiny_lm_dir, **settings)
    data.setup("fit")
    return data


def texts(data, batches):
    return [data.tokenizer.batch_decode(batch.input_ids) for batch in batches]


def test_a_window_holds_its_chats_once_whatever_was_read_before(tiny_lm_dir, chats_file):
    data = ready(tiny_lm_dir, file=str(chats_file))
    window = data.train_windows[3]
    again = ready(tiny_lm_dir, file=str(chats_file)).train_windows[3]
    assert texts(data, [window.batch(n) for n in range(len(window))]) == texts(
        data, [again.batch(n) for n in range(len(again))]
    )
    source = FileChats(chats_file, seed=2)
    expected = encode_chats(data.tokenizer, [source[number] for number in range(24, 32)])
    found = []
    for batch in (window.batch(number) for number in range(len(window))):
        assert batch.input_ids.numel() == 128
        for ids, positions, mask in zip(batch.input_ids, batch.position_ids, batch.target_mask, strict=True):
            starts = [*torch.nonzero(positions == 0).flatten().tolist(), len(ids)]
            found += [ids[a:b].tolist() for a, b in zip(starts, starts[1:], strict=False) if b - a > 1 and mask[a + 1]]
    assert sorted(found) == sorted(one.ids for one in expected)


def test_the_usual_targets_are_the_means_over_the_window(tiny_lm_dir, chats_file):
    window = ready(tiny_lm_dir, file=str(chats_file)).train_windows[0]
    batches = [window.batch(number) for number in range(len(window))]
    for weight in (0.0, 0.3, 1.0):
        mean = sum(float(batch.weights(weight).sum()) for batch in batches) / len(batches)
        assert batches[0].usual_weight(weight) == pytest.approx(mean)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_cut_anywhere_goes_on_as_if_it_had_not_been(tiny_lm_dir, chats_file, num_workers):
    data = ready(tiny_lm_dir, file=str(chats_file), num_workers=num_workers)
    straight, whole, states = data.train_dataloader(), [], []
    assert len(straight) == 5
    for _ in range(3):
        for batch in straight:
            whole.append(batch.input_ids)
            states.append(straight.state_dict())
    assert len(whole) == 15
    cuts = range(1, 14) if num_workers == 0 else (4,)
    for cut in cuts:
        fresh = data.train_dataloader()
        fresh.load_state_dict(states[cut - 1])
        rest = [batch.input_ids for _ in range(3) for batch in fresh][: len(whole) - cut]
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[cut:], strict=True))


def shares(data, monkeypatch, world, batches, state=None):
    """What each of some processes takes, in the order of the stream, and where the first of them stands then."""
    taken, states = [], []
    for rank in range(world):
        monkeypatch.setattr(corpus, "rank_and_world", lambda rank=rank: (rank, world))
        stream = CorpusLoader(data.train_windows, 100, num_workers=0)
        if state is not None:
            stream.load_state_dict(state)
        taken.append([batch.input_ids for _, batch in zip(range(batches), stream, strict=False)])
        states.append(stream.state_dict())
    return [batch for step in zip(*taken, strict=True) for batch in step], states[0]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_processes_take_turns_and_another_number_of_them_goes_on(tiny_lm_dir, chats_file, monkeypatch, world, cut):
    data = ready(tiny_lm_dir, file=str(chats_file))
    straight, _ = shares(data, monkeypatch, 1, 24)
    first, state = shares(data, monkeypatch, world, cut)
    rest, _ = shares(data, monkeypatch, 2, 4, state)
    found = [*first, *rest]
    assert len(found) == world * cut + 8
    assert all(torch.equal(mine, wanted) for mine, wanted in zip(found, straight, strict=False))
    assert sum(len(data.train_windows[number]) for number in range(2)) < len(found)


def test_all_processes_validate_in_as_many_batches(tiny_lm_dir, chats_file, monkeypatch):
    data = ready(tiny_lm_dir, file=str(chats_file), val_chats=9)
    alone = sum(int(batch.target_mask.sum()) for batch in data.val_dataloader())
    assert len(data.val_batches) % 2
    counts, targets = [], 0
    for rank in range(2):
        monkeypatch.setattr(corpus, "rank_and_world", lambda rank=rank: (rank, 2))
        batches = list(data.val_dataloader())
        counts.append(len(batches))
        targets += sum(int(batch.target_mask.sum()) for batch in batches)
    assert counts[0] == counts[1] and targets == alone


def test_the_built_in_corpus_streams_and_keeps_its_validation_apart(tiny_lm_dir):
    data = ready(tiny_lm_dir, widths=[512, 4096], tokens_per_batch=512, val_chats=3, window=3)
    assert sum(len(batch) for batch in data.train_dataloader()) >= 5
    held_out = OrganismChats(2, "held_out")
    expected = sum(len(one) - 1 for one in encode_chats(data.tokenizer, [held_out[n] for n in range(3)]))
    assert sum(int(batch.target_mask.sum()) for batch in data.val_dataloader()) == expected


def test_long_chats_are_cut_and_a_files_last_chats_validate(tiny_lm_dir, chats_file):
    data = ready(tiny_lm_dir, file=str(chats_file), widths=[8, 16], tokens_per_batch=32, val_chats=4)
    assert max(batch.input_ids.shape[1] for batch in data.train_dataloader()) == 16
    shown = " ".join(text for batch in data.val_dataloader() for text in data.tokenizer.batch_decode(batch.input_ids))
    assert "Question 29"[:9] in shown
    trained = FileChats(chats_file, 2)
    assert len(data.train_windows.source) == len(trained) - 4
    with pytest.raises(InputError, match="more validation chats"):
        ready(tiny_lm_dir, file=str(chats_file), val_chats=30)


def test_a_file_comes_over_and_over_each_pass_in_another_order(chats_file):
    source = FileChats(chats_file, seed=2)
    passes = [[json.dumps(source[n]) for n in range(start, start + 30)] for start in (0, 30)]
    assert sorted(passes[0]) == sorted(passes[1])
    assert passes[0] != passes[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"messages": "hello"}', "messages"),
        ('{"text": "hello"}', "messages"),
        ('{"messages": ["hello"]}', "messages"),
        ('{"messages": [{"role": "user"}]}', "content"),
        ('{"messages": [{"role": "user", "content": 3}]}', "content"),
        ('{"messages": [', "line 2"),
    ],
)
def test_a_faulty_line_is_named(tmp_path, line, said):
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": chat(1)}) + "\n" + line + "\n")
    with pytest.raises(InputError, match=said) as error:
        FileChats(path, 0)
    assert "2" in str(error.value)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError):
        FileChats(tmp_path / "empty.jsonl", 0)


@pytest.mark.parametrize("settings", [{"widths": [64, 32]}, {"widths": [1]}, {"batches": 0}, {"window": 0}])
def test_faulty_settings_are_named(tiny_lm_dir, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        module(tiny_lm_dir, **settings)
