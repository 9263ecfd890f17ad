"""Bootstrap intervals over records: of a mean, a ratio of sums or any statistic, and of paired differences.

`torchmetrics.wrappers.BootStrapper` resamples the rows of each batch; our rows belong to records, so whole records are
resampled here, over the full set, from the value that a metric keeps for each of them.

The interval is bias corrected and accelerated (BCa): it covers means of skewed values such as drawdown better than
plain percentiles do, and equals them where the statistic is unbiased and symmetric.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]
CHUNK = 2**22  # numbers gathered at a time: bounds the memory, not the result


class Interval(NamedTuple):
    """A value, the bounds of its interval, and the number of records behind it; nan where there is none."""

    value: float
    low: float
    high: float
    n: int


def bootstrap_interval(
    values: Tensor,
    statistic: Literal["mean", "ratio"] | Statistic = "mean",
    level: float = 0.95,
    samples: int = 1000,
    generator: torch.Generator | None = None,
    weights: Tensor | None = None,
) -> Interval:
    """Interval of a statistic over records.

    Args:
        values: (N,) one value per record, or (N, Q) several.
        statistic: `mean` of one value; `ratio`, the sum of the first column over the sum of the second; or a function
            from samples (S, N, Q) to their statistics (S,). A function costs N^2 values for the acceleration.
        level: Share of intervals that hold the true value.
        samples: Number of bootstrap samples.
        generator: Source of the samples. By default a new one with a fixed seed: the same values give the same
            interval, and no other random numbers change.
        weights: (N,) weights of a mean.

    Returns:
        The statistic and its interval. With one record, or a value that is not finite, the bounds are nan; without a
        record the value is too.

    Raises:
        ValueError: If shapes, level or samples do not fit.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 14.3.

    Example:
        >>> interval = bootstrap_interval(torch.tensor([0.2, 0.4, 0.4, 0.6, 0.9, 0.5, 0.3, 0.7]))
        >>> round(interval.value, 3), interval.n
        (0.5, 8)
        >>> interval.low < 0.45 < 0.55 < interval.high
        True
        >>> bootstrap_interval(torch.tensor([[1.0, 2.0], [3.0, 6.0]]), "ratio")
        Interval(value=0.5, low=0.5, high=0.5, n=2)
    """
    columns = _columns(values)
    if weights is not None:
        if statistic != "mean" or columns.shape[1] != 1 or weights.shape != (len(columns),):
            raise ValueError(f"`weights` expected one per record of a mean but got shape {tuple(weights.shape)}")
        weight = _columns(weights)
        columns, statistic = torch.cat([columns * weight, weight], 1), "ratio"
    return _interval(columns, _resolve(statistic, columns.shape[1]), level, samples, generator, callable(statistic))


def bootstrap_difference(
    values: Tensor,
    base: Tensor,
    statistic: Literal["mean", "ratio"] | Statistic = "mean",
    level: float = 0.95,
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Interval:
    """Interval of a paired difference: the statistic of `values` minus that of `base`, both on the same records.

    Every sample takes the same records on both sides, so what makes a record easy or hard for both drops out.

    Args:
        values: (N,) or (N, Q), as in `bootstrap_interval`.
        base: The same shape, the same records in the same order.
        statistic: As in `bootstrap_interval`.
        level: Share of intervals that hold the true difference.
        samples: Number of bootstrap samples.
        generator: As in `bootstrap_interval`.

    Returns:
        The difference and its interval.

    Raises:
        ValueError: If shapes, level or samples do not fit.

    Example:
        >>> bootstrap_difference(torch.tensor([1.5, 2.5, 3.5]), torch.tensor([1.0, 2.0, 3.0]))
        Interval(value=0.5, low=0.5, high=0.5, n=3)
    """
    if values.shape != base.shape:
        raise ValueError(f"`base` expected shape {tuple(values.shape)}, like `values`, but got {tuple(base.shape)}")
    ours, theirs = _columns(values), _columns(base)
    if statistic == "mean":
        return bootstrap_interval((ours - theirs).reshape(values.shape), "mean", level, samples, generator)
    width = ours.shape[1]
    one = _resolve(statistic, width)

    def difference(sample: Tensor) -> Tensor:
        return one(sample[..., :width]) - one(sample[..., width:])

    return _interval(torch.cat([ours, theirs], 1), difference, level, samples, generator, callable(statistic))


def _columns(values: Tensor) -> Tensor:
    if values.ndim not in (1, 2):
        raise ValueError(f"`values` expected shape (N,) or (N, Q) but got {tuple(values.shape)}")
    return values.detach().cpu().double().reshape(len(values), -1 if values.numel() else math.prod(values.shape[1:]))


def _mean(sample: Tensor) -> Tensor:
    return sample[..., 0].mean(-1)


def _ratio(sample: Tensor) -> Tensor:
    return sample[..., 0].sum(-1) / sample[..., 1].sum(-1)


def _resolve(statistic: str | Statistic, width: int) -> Statistic:
    """The function of a statistic; fails if it needs another number of columns."""
    if callable(statistic):
        return statistic
    if (statistic, width) not in (("mean", 1), ("ratio", 2)):
        raise ValueError(
            "`statistic` expected 'mean' of (N,), 'ratio' of (N, 2) or a function, "
            f"but got {statistic!r} of {width} columns"
        )
    return _mean if statistic == "mean" else _ratio


def _interval(
    columns: Tensor, statistic: Statistic, level: float, samples: int, generator: torch.Generator | None, general: bool
) -> Interval:
    """BCa interval of a statistic of columns (N, Q); `general` if it is not a function of the columns' means alone."""
    if not 0 < level < 1:
        raise ValueError(f"`level` expected a share between 0 and 1 but got {level}")
    if samples < 1:
        raise ValueError(f"`samples` expected at least 1 but got {samples}")
    n = len(columns)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = statistic(columns[None])[0]
    if n == 1 or not torch.isfinite(columns).all() or not torch.isfinite(value):
        return Interval(value.item(), math.nan, math.nan, n)
    drawn = _resampled(columns, statistic, samples, generator or torch.Generator().manual_seed(0))
    drawn = drawn[torch.isfinite(drawn)]  # a sample without any denominator has no ratio
    if len(drawn) == 0:
        return Interval(value.item(), math.nan, math.nan, n)
    rest = _leave_one_out(columns, statistic, general)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(drawn, _corrected(tails, value, drawn, rest)).tolist()
    return Interval(value.item(), low, high, n)


def _resampled(columns: Tensor, statistic: Statistic, samples: int, generator: torch.Generator) -> Tensor:
    """The statistic of samples of N records drawn with replacement (S,)."""
    n = len(columns)
    step = max(1, CHUNK // columns.numel())
    parts = []
    for start in range(0, samples, step):
        rows = torch.randint(n, (min(step, samples - start), n), generator=generator)
        parts.append(statistic(columns[rows]))
    return torch.cat(parts)


def _leave_one_out(columns: Tensor, statistic: Statistic, general: bool) -> Tensor:
    """The statistic of all records but one, for each of them (N,)."""
    n = len(columns)
    if not general:
        # the mean of the rest says all that a mean or a ratio of sums needs: N values instead of N^2
        return statistic(((columns.sum(0) - columns) / (n - 1))[:, None])
    others = torch.arange(n - 1)
    step = max(1, CHUNK // columns.numel())
    left_out = torch.arange(n).split(step)
    return torch.cat([statistic(columns[others + (others >= rows[:, None])]) for rows in left_out])


def _corrected(tails: Tensor, value: Tensor, drawn: Tensor, rest: Tensor) -> Tensor:
    """Shift the tails of the percentile interval by the bias and the acceleration of the statistic."""
    tied = torch.isclose(drawn, value, rtol=1e-12, atol=1e-12)
    below = ((drawn < value) & ~tied).double().mean() + tied.double().mean() / 2
    edge = 0.5 / len(drawn)
    bias = torch.special.ndtri(below.clamp(edge, 1 - edge))
    gap = rest.mean() - rest
    acceleration = (gap**3).sum() / (6 * (gap**2).sum() ** 1.5)
    if not torch.isfinite(acceleration):  # all records alike, or one of them holds the only denominator
        acceleration = torch.zeros_like(bias)
    shifted = bias + torch.special.ndtri(tails)
    return torch.special.ndtr(bias + shifted / (1 - acceleration * shifted))
