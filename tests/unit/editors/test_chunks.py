"""Rows in chunks: all of them, each once, within the limit, with little padding."""

import pytest
import torch

from editors.chunks import _even_parts, row_chunks
from tests.unit.editors.batches import random_tokens


def chunks_of(side, most_tokens, whole_records=False):
    tokens = random_tokens(12, 3, 20, torch.Generator().manual_seed(0), side)
    records = torch.arange(12) // 4
    keep = tokens.answer_mask.clone()
    keep[5] = False
    keep[:, :] &= torch.rand(keep.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    return tokens, keep, list(row_chunks(tokens, records, keep, most_tokens, whole_records=whole_records))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("most_tokens", [1, 30, 60, 10_000])
def test_every_kept_position_is_there_once_with_all_before_it(side, most_tokens):
    tokens, keep, chunks = chunks_of(side, most_tokens)
    seen = torch.zeros(keep.shape, dtype=torch.long)
    for chunk in chunks:
        assert len(chunk.rows) == 1 or chunk.keep.numel() <= most_tokens
        assert chunk.records == (chunk.rows // 4).tolist() == sorted(chunk.records)
        seen.index_put_(chunk.places, torch.tensor(1), accumulate=True)
        first = tokens.attention_mask.argmax(1)[chunk.rows]
        assert (first >= chunk.columns.start).all()
        assert torch.equal(chunk.tokens.input_ids, tokens.input_ids[chunk.rows, chunk.columns])
    assert torch.equal(seen, keep.long())


def test_rows_of_like_length_come_together():
    tokens, keep, chunks = chunks_of("left", 60)
    padding = sum((1 - chunk.tokens.attention_mask).sum() for chunk in chunks)
    assert padding < 0.3 * (1 - tokens.attention_mask).sum()


def test_whole_records():
    _, keep, chunks = chunks_of("right", 100, whole_records=True)
    owners = [set(chunk.records) for chunk in chunks]
    assert sum(len(owner) for owner in owners) == len(set.union(*owners)) == 3


def test_parts_are_even():
    assert [len(range(9)[part]) for part in _even_parts([0] * 9, 4, False)] == [3, 3, 3]
    assert [len(range(9)[part]) for part in _even_parts([0] * 9, 9, False)] == [9]
    records = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert [records[part] for part in _even_parts(records, 5, True)] == [[0, 0, 0, 1, 1], [2, 2, 2, 2]]
    assert [records[part] for part in _even_parts(records, 1, True)] == [[0, 0, 0], [1, 1], [2, 2, 2, 2]]


def test_a_part_is_no_larger_than_allowed_unless_a_record_is():
    records = [0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert [records[part] for part in _even_parts(records, 8, True)] == [[0] * 3, [1] * 6, [2] * 3]
    for rows in range(1, 13):
        sizes = [part.stop - part.start for part in _even_parts(records[:rows], 5, False)]
        assert sum(sizes) == rows and max(sizes) <= 5 and max(sizes) - min(sizes) <= 1
