"""Paired tests: worked numbers, scipy's tests, and what they promise on simulated results."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from eval_series import _interval
from metrics.bootstrap import bootstrap_difference, bootstrap_interval
from metrics.reliability import pearson
from metrics.significance import bootstrap_p, holm, paired_effect, permutation_p

ROWS, SIMULATIONS, LEVEL = 200, 500, 0.05


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _simulated(effect: float, seed: int) -> tuple[Tensor, Tensor]:
    """Scores (S, N) of two methods on rows that are harder or easier for both; the second is better by `effect`."""
    size, rng = (SIMULATIONS, ROWS), _drawn(seed)
    difficulty = torch.empty(size, dtype=torch.float64).exponential_(generator=rng)
    noise = [0.5 * torch.randn(size, generator=rng, dtype=torch.float64) for _ in range(2)]
    return difficulty + noise[0], difficulty + noise[1] + effect


def test_few_rows_are_permuted_exhaustively() -> None:
    differences = torch.tensor([0.3, 0.1, -0.2, 0.4, 0.5])
    # the sizes 0.1 to 0.5 sum to 1.5, and the observed sum is 1.1: it is reached where those of the other sign sum to
    # 0.2 at most, which are none, 0.1 alone and 0.2 alone, and as often with all signs turned
    assert permutation_p(differences).item() == pytest.approx(6 / 32)


def test_many_rows_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    differences = torch.randn(40, generator=_drawn(1), dtype=torch.float64) + 0.3
    want = stats.permutation_test(
        (differences.numpy(),),
        lambda d, axis: d.mean(axis),
        permutation_type="samples",
        n_resamples=50_000,
        vectorized=True,
        rng=0,
    ).pvalue
    assert permutation_p(differences, 50_000).item() == pytest.approx(want, abs=0.005)
    assert bootstrap_p(differences, 50_000).item() == pytest.approx(want, abs=0.03)
    assert paired_effect(differences).item() == pytest.approx(
        stats.ttest_1samp(differences.numpy(), 0).statistic / math.sqrt(40)
    )


def test_holm_is_worked_by_hand() -> None:
    p_values = torch.tensor([[0.02, math.nan, 0.001, 0.9, 0.02], [0.5, 0.6, 0.7, 0.8, 0.9]])
    got = holm(p_values)
    # four known ones: 4 x 0.001, then 3 x 0.02 for both that are tied, then 0.9
    assert got[0].tolist() == pytest.approx([0.06, math.nan, 0.004, 0.9, 0.06], nan_ok=True)
    assert got[1].tolist() == [1.0] * 5


def test_what_cannot_be_tested_has_no_p_value() -> None:
    for test in (permutation_p, bootstrap_p):
        assert math.isnan(test(torch.zeros(0)).item()) and math.isnan(test(torch.tensor([1.0, math.inf])).item())
        assert test(torch.zeros(30)).item() == 1.0
    assert math.isnan(bootstrap_p(torch.ones(1)).item()) and math.isnan(paired_effect(torch.ones(1)).item())
    assert paired_effect(torch.full((5,), 0.1)).item() == math.inf
    with pytest.raises(ValueError, match="single number"):
        permutation_p(torch.tensor(1.0))
    with pytest.raises(ValueError, match="at least 1"):
        bootstrap_p(torch.zeros(3), samples=0)


def test_intervals_of_simulated_results_cover_the_truth() -> None:
    scores, others = _simulated(0.1, 2)
    # the row means of both, and their paired difference: skewed and symmetric values
    for values, truth in ((scores, 1.0), (others - scores, 0.1)):
        intervals = [bootstrap_interval(rows, generator=_drawn(3)) for rows in values]
        covered = sum(one.low <= truth <= one.high for one in intervals) / SIMULATIONS
        assert 0.92 <= covered <= 0.98


def _correlated(rows: Tensor) -> Tensor:
    return pearson(rows[..., 0], rows[..., 1])


def _results(kind: str, rng: torch.Generator) -> tuple[Tensor, Any, float]:
    """Simulated results (S, N, Q), the statistic that a report takes of them, and its true value."""
    size = (SIMULATIONS, ROWS)
    if kind == "share":  # of choices that are right, nine in ten
        return (torch.rand(size, generator=rng, dtype=torch.float64) < 0.9).double()[..., None], "mean", 0.9
    normal = torch.randn((*size, 2), generator=rng, dtype=torch.float64)
    if kind == "ratio":  # sums over texts of different lengths
        lengths = torch.randint(5, 40, size, generator=rng).double()
        return torch.stack([lengths * (2 + normal[..., 0]), lengths], -1), "ratio", 2.0
    if kind == "correlation":  # of scores with the people's
        return torch.stack([normal[..., 0], 0.6 * normal[..., 0] + 0.8 * normal[..., 1]], -1), _correlated, 0.6
    raise ValueError(kind)


@pytest.mark.parametrize("kind", ["share", "ratio", "correlation"])
def test_intervals_of_every_kind_cover_the_truth(kind: str) -> None:
    results, statistic, truth = _results(kind, _drawn(7))
    intervals = [bootstrap_interval(rows, statistic, generator=_drawn(3)) for rows in results]
    assert 0.92 <= sum(one.low <= truth <= one.high for one in intervals) / SIMULATIONS <= 0.98


def test_paired_intervals_of_ratios_cover_the_difference() -> None:
    ours, _, truth = _results("ratio", _drawn(8))
    # the same texts for the base model, which lacks half a point and has noise of its own
    noise = torch.randn(ours.shape[:2], generator=_drawn(9), dtype=torch.float64)
    base = torch.stack([ours[..., 0] + ours[..., 1] * (noise - 0.5), ours[..., 1]], -1)
    pairs = zip(ours, base, strict=True)
    intervals = [bootstrap_difference(one, other, "ratio", generator=_drawn(3)) for one, other in pairs]
    covered = sum(one.low <= 0.5 <= one.high for one in intervals) / SIMULATIONS
    assert truth == 2.0 and 0.92 <= covered <= 0.98


def test_intervals_over_three_seeds_cover_the_truth() -> None:
    seeds = torch.randn((SIMULATIONS, 3), generator=_drawn(10), dtype=torch.float64) + 1
    ends = torch.tensor([_interval(values, sum(values) / 3) for values in seeds.tolist()])
    assert 0.92 <= ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).double().mean() <= 0.98


@pytest.mark.parametrize("test", [permutation_p, bootstrap_p])
def test_paired_tests_keep_their_level_and_find_effects(test) -> None:
    scores, others = _simulated(0.0, 4)
    false_alarms = (test(others - scores, 2000) <= LEVEL).double().mean().item()
    # three standard errors around the level
    assert abs(false_alarms - LEVEL) <= 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)
    scores, others = _simulated(0.2, 5)
    assert (test(others - scores, 2000) <= LEVEL).double().mean().item() > 0.95


def test_corrected_tests_rarely_raise_any_false_alarm() -> None:
    scores, others = _simulated(0.0, 6)
    families = permutation_p(others - scores, 5000).reshape(SIMULATIONS // 10, 10)
    assert (holm(families) <= LEVEL).any(-1).double().mean().item() <= 0.12
