"""Is one method better than another on the same rows? Paired tests, the size of the effect, and many tests at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLES = 10_000
_CHUNK = 2**22  # numbers drawn at a time: bounds the memory, not the result
_SEED = 0


def permutation_p(differences: Tensor, samples: int = SAMPLES, generator: torch.Generator | None = None) -> Tensor:
    """Two-sided p-value of a paired permutation test: under no effect each difference may have either sign.

    All changes of sign are tried where they are no more than `samples`; the p-value is exact then. Otherwise they are
    drawn, and the observed one counts as one of them, so that the test keeps its level and no p-value is 0.

    Args:
        differences: (..., N) one method minus the other, one per row; every experiment gets the same changes of sign.
        samples: Number of changes of sign.
        generator: Where they are drawn from; by default a new one with a fixed seed.

    Returns:
        (...) p-values; nan where there is no row or a difference is not finite.

    Raises:
        ValueError: If there is no dimension of rows, or samples is not positive.

    Reference:
        Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010.

    Example:
        >>> permutation_p(torch.tensor([[1.0, 2.0, 3.0], [1.0, -1.0, 0.0]]))  # 2 of 8 signs; all of them
        tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    rows = _rows(differences, samples)
    n = rows.shape[-1]
    sums = rows.sum(-1).abs()
    reached = torch.zeros_like(sums)
    exact = n <= int(math.log2(samples))
    count = 2**n if exact else samples
    generator = generator or torch.Generator().manual_seed(_SEED)
    bits = torch.arange(n)
    for start, stop in _chunks(count, max(n, math.prod(rows.shape[:-1]))):
        if exact:
            signs = (torch.arange(start, stop)[:, None] >> bits) % 2
        else:
            signs = torch.randint(2, (stop - start, n), generator=generator)
        reached += _reached(rows @ (2.0 * signs - 1).double().T, sums, rows)
    p = reached / count if exact else (reached + 1) / (count + 1)
    return _where_known(p, rows)


def bootstrap_p(differences: Tensor, samples: int = SAMPLES, generator: torch.Generator | None = None) -> Tensor:
    """Two-sided p-value of a paired bootstrap test: rows are drawn anew from differences moved to a mean of 0.

    Args:
        differences: (..., N) one method minus the other, one per row; every experiment gets the same draws.
        samples: Number of draws.
        generator: Where they are drawn from; by default a new one with a fixed seed.

    Returns:
        (...) p-values; nan where there are fewer than two rows or a difference is not finite.

    Raises:
        ValueError: If there is no dimension of rows, or samples is not positive.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 16.4.

    Example:
        >>> bootstrap_p(torch.tensor([1.0, -1.0, 2.0, -2.0]))
        tensor(1., dtype=torch.float64)
    """
    rows = _rows(differences, samples)
    n = rows.shape[-1]
    sums = rows.sum(-1).abs()
    centred = rows - rows.mean(-1, keepdim=True)
    reached = torch.zeros_like(sums)
    generator = generator or torch.Generator().manual_seed(_SEED)
    for start, stop in _chunks(samples, max(n, math.prod(rows.shape[:-1]))):
        drawn = torch.randint(n, (stop - start, n), generator=generator) if n else torch.zeros(stop - start, 0).long()
        counts = torch.zeros(stop - start, n, dtype=torch.float64)
        counts.scatter_add_(1, drawn, torch.ones_like(counts))
        reached += _reached(centred @ counts.T, sums, rows)
    known = torch.full_like(sums, n >= 2, dtype=torch.bool)
    return torch.where(known, _where_known((reached + 1) / (samples + 1), rows), torch.nan)


def paired_effect(differences: Tensor) -> Tensor:
    """Size of a paired effect: the mean difference in standard deviations of the differences (Cohen's d_z).

    0.2 is called small, 0.5 medium and 0.8 large.

    Args:
        differences: (..., N) one method minus the other, one per row.

    Returns:
        (...) nan where there are fewer than two rows; 0 where nothing differs, infinite where all rows differ alike.

    Reference:
        Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.3.5.

    Example:
        >>> paired_effect(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
        tensor([2., 0.], dtype=torch.float64)
    """
    rows = differences.double()
    if rows.shape[-1] < 2:
        return torch.full(rows.shape[:-1], torch.nan, dtype=torch.float64)
    mean, spread = rows.mean(-1), rows.std(-1)
    # Equal differences leave a spread of rounding size, which stands for none.
    spread = torch.where(spread > 1e-12 * rows.abs().amax(-1), spread, 0.0)
    return torch.where(mean == 0, mean, mean / spread)


def holm(p_values: Tensor) -> Tensor:
    """Correct p-values for being many: the chance of any false discovery among them stays below the level.

    Args:
        p_values: (..., M) of all tests of a family; nan stands for a test that could not be made and counts for none.

    Returns:
        (..., M) corrected p-values, in the same order.

    Reference:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Example:
        >>> holm(torch.tensor([0.01, 0.04, 0.03]))  # 3 x 0.01; 2 x 0.03; 1 x 0.04, which may not fall below 0.06
        tensor([0.0300, 0.0600, 0.0600])
    """
    known = ~p_values.isnan()
    ordered, order = torch.where(known, p_values, torch.inf).sort(-1)
    left = known.sum(-1, keepdim=True) - torch.arange(p_values.shape[-1])
    raised = torch.where(ordered.isinf(), torch.inf, ordered * left).cummax(-1).values.clamp(max=1.0)
    corrected = torch.empty_like(p_values).scatter_(-1, order, raised)
    return torch.where(known, corrected, torch.nan)


def _rows(differences: Tensor, samples: int) -> Tensor:
    if differences.ndim < 1:
        raise ValueError("`differences` expected shape (..., N) but got a single number")
    if samples < 1:
        raise ValueError(f"`samples` expected at least 1 but got {samples}")
    return differences.detach().cpu().double()


def _reached(drawn: Tensor, sums: Tensor, rows: Tensor) -> Tensor:
    """How many of the drawn sums (..., S) are at least as far from 0 as the observed ones (...), rounding aside."""
    slack = 1e-12 * rows.abs().sum(-1)
    return (drawn.abs() >= (sums - slack)[..., None]).sum(-1).double()


def _where_known(p: Tensor, rows: Tensor) -> Tensor:
    known = rows.isfinite().all(-1) & (rows.shape[-1] > 0)
    return torch.where(known, p, torch.nan)


def _chunks(count: int, width: int) -> list[tuple[int, int]]:
    step = max(1, _CHUNK // max(1, width))
    return [(start, min(start + step, count)) for start in range(0, count, step)]
