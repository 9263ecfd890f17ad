"""Running mean and spread of vectors, as if each had been counted on its own, without a loop over them."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn


class UntrainedError(ValueError):
    """Statistics are asked for before there are any."""


class RunningMoments(nn.Module):
    """Mean and standard deviation of every vector seen so far; part of a module's state.

    Args:
        width: D, the length of a vector.

    Attributes:
        mean: (D,) mean.
        spread: (D,) sum of squared deviations from the mean.
        count: (1,) number of vectors, a whole number: in float32 it would stop growing after 16.7 million.
    """

    mean: Tensor
    spread: Tensor
    count: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.zeros(width))
        self.register_buffer("count", torch.zeros(1, dtype=torch.long))

    @property
    def std(self) -> Tensor:
        """(D,) standard deviation, with n - 1 in the denominator.

        Raises:
            UntrainedError: If fewer than two vectors were seen.
        """
        if self.count.item() < 2:
            raise UntrainedError(f"a standard deviation needs at least 2 rows but {int(self.count.item())} were seen")
        return (self.spread / (self.count - 1)).sqrt()

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Count further vectors (N, D), those of all processes where there are several.

        Sums are taken in float64 where the device has it: what is normalised with them is amplified later, and counted
        row by row in float32 the statistics alone cost a gradient its fourth digit.

        Reference:
            Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979:
            merging the moments of two sets gives those of their union, so a batch can enter as a whole.
        """
        exact = rows if rows.device.type == "mps" else rows.double()
        own_mean, own_spread = self.mean.to(exact.dtype), self.spread.to(exact.dtype)
        for mean, spread, count in _on_every_process(*moments(exact)):
            total = self.count + count
            if total.item() == 0:
                continue
            gap, share = mean - own_mean, (count.to(exact.dtype) / total)
            own_spread += spread + gap.square() * (self.count * share)
            own_mean += gap * share
            self.count.copy_(total)
        self.mean.copy_(own_mean)
        self.spread.copy_(own_spread)


def moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), sum of squared deviations (D,) and number (1,) of vectors (N, D); zeros where there are none.

    Args:
        rows: (N, D).

    Returns:
        The three.

    Example:
        >>> moments(torch.tensor([[1.0], [3.0]]))
        (tensor([2.]), tensor([2.]), tensor([2]))
    """
    count = torch.tensor([len(rows)], device=rows.device)
    if len(rows) == 0:
        return rows.new_zeros(rows.shape[1]), rows.new_zeros(rows.shape[1]), count
    mean = rows.mean(0)
    return mean, (rows - mean).square().sum(0), count


def _on_every_process(mean: Tensor, spread: Tensor, count: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The moments of every process's vectors, in the order of ranks, so that all processes merge alike."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return [(mean, spread, count)]
    packed = torch.cat([mean, spread, count.to(mean.dtype)])
    parts = [torch.empty_like(packed) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, packed)
    width = len(mean)
    return [(part[:width], part[width : 2 * width], part[2 * width :].long()) for part in parts]
