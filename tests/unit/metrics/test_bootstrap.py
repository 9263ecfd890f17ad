"""Bootstrap intervals, against scipy's and against what an interval promises."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.bootstrap import bootstrap_difference, bootstrap_interval


def _skewed(n: int, seed: int = 0) -> Tensor:
    return torch.empty(n, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(seed))


def _correlation(sample: Tensor) -> Tensor:
    centred = sample - sample.mean(-2, keepdim=True)
    x, y = centred.unbind(-1)
    return (x * y).sum(-1) / (x.square().sum(-1) * y.square().sum(-1)).sqrt()


def _close_to(got: tuple[float, float], want: tuple[float, float], slack: float = 0.06) -> None:
    """Bounds from different random samples differ by a small share of the interval's width."""
    width = want[1] - want[0]
    assert abs(got[0] - want[0]) < slack * width
    assert abs(got[1] - want[1]) < slack * width


def test_mean_ratio_and_correlation_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = _skewed(40)
    pairs = torch.stack([_skewed(40, 1) + 0.5 * values, values + 0.2], 1)
    bootstrap = partial(stats.bootstrap, n_resamples=20_000, rng=np.random.default_rng(0), method="BCa")

    want = bootstrap((values.numpy(),), np.mean).confidence_interval
    _close_to(bootstrap_interval(values, samples=20_000)[1:3], want)

    columns = (pairs[:, 0].numpy(), pairs[:, 1].numpy())
    want = bootstrap(columns, lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True).confidence_interval
    _close_to(bootstrap_interval(pairs, "ratio", samples=20_000)[1:3], want)
    _close_to(bootstrap_interval(pairs[:, 0] / pairs[:, 1], weights=pairs[:, 1], samples=20_000)[1:3], want)

    correlate = lambda a, b: np.corrcoef(a, b)[0, 1]  # noqa: E731
    want = bootstrap(columns, correlate, paired=True, vectorized=False, n_resamples=4_000).confidence_interval
    _close_to(bootstrap_interval(pairs, _correlation, samples=20_000)[1:3], want, slack=0.1)


def test_a_function_gives_what_the_named_statistic_gives() -> None:
    values, pairs = _skewed(30), _skewed(60).reshape(30, 2)
    assert bootstrap_interval(values, lambda sample: sample[..., 0].mean(-1)) == pytest.approx(
        bootstrap_interval(values)
    )
    ratio = lambda sample: sample[..., 0].sum(-1) / sample[..., 1].sum(-1)  # noqa: E731
    assert bootstrap_interval(pairs, ratio) == pytest.approx(bootstrap_interval(pairs, "ratio"))
    got = bootstrap_difference(pairs, pairs.flip(0), ratio)
    assert got == pytest.approx(bootstrap_difference(pairs, pairs.flip(0), "ratio"))


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(300):
        interval = bootstrap_interval(_skewed(60, seed), samples=400)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.91 <= hits / 300 <= 0.985


def test_pairing_removes_what_both_sides_share() -> None:
    base = _skewed(80) * 10
    values = base + 0.3 + 0.1 * _skewed(80, 1)
    paired = bootstrap_difference(values, base)
    assert 0.3 < paired.low < paired.value < paired.high < 0.6
    alone = bootstrap_interval(values)
    assert alone.high - alone.low > 10 * (paired.high - paired.low)


def test_reproducible_and_without_touching_other_random_numbers() -> None:
    values, state = _skewed(25), torch.get_rng_state()
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert torch.equal(torch.get_rng_state(), state)
    seeded = partial(bootstrap_interval, values)
    assert seeded(generator=torch.Generator().manual_seed(3)) != seeded(generator=torch.Generator().manual_seed(4))


def test_a_wider_level_gives_a_wider_interval() -> None:
    narrow, wide = (bootstrap_interval(_skewed(50), level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_degenerate_values() -> None:
    assert bootstrap_interval(torch.ones(12)) == (1.0, 1.0, 1.0, 12)
    value, low, high, n = bootstrap_interval(torch.tensor([0.4], dtype=torch.float64))
    assert (value, n) == (0.4, 1)
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(bound) for bound in bootstrap_interval(torch.zeros(0))[:3])
    broken = bootstrap_interval(torch.tensor([1.0, torch.nan]))
    assert math.isnan(broken.value)
    assert math.isnan(broken.low)
    # only one record has a denominator: many samples have no ratio at all
    sparse = bootstrap_interval(torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]), "ratio")
    assert sparse == (0.5, 0.5, 0.5, 3)


def test_many_records_in_little_memory() -> None:
    interval = bootstrap_interval(_skewed(50_000), samples=200)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 50_000**0.5, rel=0.2)


def test_bad_arguments() -> None:
    values = torch.rand(5)
    for call, message in (
        (lambda: bootstrap_interval(values, "ratio"), "`statistic` expected"),
        (lambda: bootstrap_interval(values, "median"), "`statistic` expected"),  # type: ignore[arg-type]
        (lambda: bootstrap_interval(values, level=95), "`level` expected"),
        (lambda: bootstrap_interval(values, samples=0), "`samples` expected"),
        (lambda: bootstrap_interval(values, weights=torch.ones(4)), "`weights` expected"),
        (lambda: bootstrap_interval(torch.rand(2, 2, 2)), "`values` expected"),
        (lambda: bootstrap_difference(values, values[:3]), "`base` expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
