"""Batched moments equal those of counting row by row."""

import pytest
import torch
from torch import multiprocessing

from editors.moments import RunningMoments


def row_by_row(rows):
    mean, spread = torch.zeros(rows.shape[1], dtype=torch.float64), torch.zeros(rows.shape[1], dtype=torch.float64)
    for number, row in enumerate(rows.double(), start=1):
        gap = row - mean
        mean = mean + gap / number
        spread = spread + gap * (row - mean)
    return mean, spread, len(rows)


def test_any_cut_gives_the_same():
    rows = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 3 + 5
    mean, spread, count = row_by_row(rows)
    for sizes in ([50], [1, 49], [0, 20, 0, 30], [1] * 50):
        moments = RunningMoments(7)
        for part in rows.split(sizes):
            moments.update(part)
        torch.testing.assert_close(moments.mean.double(), mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(moments.spread.double(), spread, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(moments.std, rows.std(0))
        assert moments.count.item() == count


def test_too_few_rows_have_no_spread():
    moments = RunningMoments(3)
    moments.update(torch.ones(1, 3))
    with pytest.raises(ValueError, match="at least 2 rows but 1"):
        moments.std  # noqa: B018 - a property that raises


def test_counting_goes_on_beyond_what_float32_can_count():
    moments = RunningMoments(1)
    moments.count.fill_(2**24)
    moments.update(torch.zeros(1, 1))
    assert moments.count.item() == 2**24 + 1


def merge_on_rank(rank, store, rows, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    moments = RunningMoments(rows.shape[1])
    # unequal shares, and one process without any row
    for part in (rows[:6], rows[6:]):
        moments.update(part[rank::2] if part is not rows else part)
    moments.update(rows[:4] if rank == 0 else rows[:0])
    results[rank] = (moments.mean, moments.spread, moments.count)
    torch.distributed.destroy_process_group()


def test_processes_share_their_rows(tmp_path):
    rows = torch.randn(11, 3, generator=torch.Generator().manual_seed(1))
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        arguments = (tmp_path / "store", rows, results)
        multiprocessing.start_processes(merge_on_rank, arguments, nprocs=2, start_method="fork")
        (first, second) = (results[rank] for rank in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        mean, spread, count = row_by_row(torch.cat([rows, rows[:4]]))
        torch.testing.assert_close(first[0].double(), mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(first[1].double(), spread, rtol=1e-5, atol=1e-5)
        assert first[2].item() == count
