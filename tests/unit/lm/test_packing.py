"""Packing: nothing lost, nothing padded to speak of, and no chat sees another."""

import random

import pytest
import torch

from lm.chat import encode_chats
from lm.packing import pack, packed_batch
from tests.models import byte_tokenizer, random_model

USUAL = {"all": 1.0, "assistant": 1.0}


def test_every_item_is_packed_once_and_rows_are_as_narrow_as_their_longest_item_allows():
    rng = random.Random(3)
    widths = [16, 32, 64]
    lengths = [rng.randint(1, 64) for _ in range(500)]
    rows = pack(lengths, widths)
    assert sorted(item for _, row in rows for item in row) == list(range(500))
    for width, row in rows:
        assert sum(lengths[item] for item in row) <= width
        assert width == min(w for w in widths if w >= max(lengths[item] for item in row))
    assert sum(lengths) / sum(width for width, _ in rows) > 0.95


def test_packing_does_not_depend_on_anything_but_the_lengths():
    lengths = [7, 3, 3, 7, 5, 3]
    assert pack(lengths, [8]) == pack(tuple(lengths), [8])


@pytest.mark.parametrize(("lengths", "widths"), [([3], []), ([3], [4, 4]), ([3], [8, 4]), ([9], [4, 8]), ([0], [8])])
def test_impossible_requests_are_refused(lengths, widths):
    with pytest.raises(ValueError, match="expected"):
        pack(lengths, widths)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "phi3"])
def test_packed_logits_equal_those_of_each_chat_alone(architecture, attention):
    model, tokenizer = random_model(architecture), byte_tokenizer()
    model.set_attn_implementation(attention)
    texts = ["A short one", "Here is rather a longer question, is it not?", "Hm"]
    chats = encode_chats(
        tokenizer, [[{"role": "user", "content": t}, {"role": "assistant", "content": t[::-1]}] for t in texts]
    )
    batch = packed_batch([chats, [chats[1]]], sum(map(len, chats)) + 3, pad_id=0, usual_targets=USUAL)
    with torch.no_grad():
        packed = model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).logits
        start = 0
        for chat in chats:
            alone = model(input_ids=torch.tensor([chat.ids])).logits[0]
            torch.testing.assert_close(packed[0, start : start + len(chat)], alone)
            start += len(chat)


def test_weights_leave_out_padding_and_the_first_token_of_each_chat():
    tokenizer = byte_tokenizer()
    chats = encode_chats(tokenizer, [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}]] * 2)
    batch = packed_batch([chats], 2 * len(chats[0]) + 2, pad_id=0, usual_targets={"all": 8.0, "assistant": 3.0})
    everything, answers = batch.weights(1.0), batch.weights(0.0)
    assert everything.sum() == 2 * (len(chats[0]) - 1)
    assert answers.sum() == 2 * sum(chats[0].answer_mask)
    assert everything[0, len(chats[0])] == 0
    assert batch.weights(0.25).sum() == answers.sum() + 0.25 * (everything.sum() - answers.sum())
    assert batch.usual_weight(0.2) == 4.0
    assert len(batch.to("cpu")) == 1
