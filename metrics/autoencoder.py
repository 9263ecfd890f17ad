"""How good a sparse autoencoder is: variance explained, features active at once, and loss recovered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def loss_recovered(plain: Tensor, patched: Tensor, ablated: Tensor) -> Tensor:
    """Share of what a model loses without a layer's output that it keeps with the output's reconstruction.

    Args:
        plain: Loss of the model as it is.
        patched: Its loss with the reconstruction in the place of the output.
        ablated: Its loss with zeros there.

    Returns:
        1 where the reconstruction costs nothing, 0 where it is no better than zeros.

    Example:
        >>> loss_recovered(torch.tensor(2.0), torch.tensor(2.5), torch.tensor(7.0)).item()
        0.8999999761581421
    """
    return (ablated - patched) / (ablated - plain)


class ExplainedVariance(Metric):
    """Share of the variance of inputs that their reconstructions explain, over all of them; 1 is best.

    The variance is that around the mean of all inputs, summed over dimensions.

    Args:
        width: Width D of the inputs.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = ExplainedVariance(1)
        >>> metric.update(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
        >>> metric.compute()
        tensor(0.5000)
    """

    is_differentiable, higher_is_better, full_state_update = False, True, False
    total: Tensor
    squares: Tensor
    error: Tensor
    count: Tensor

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # In float64: the variance is a small difference of large sums.
        self.add_state("total", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("error", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, inputs: Tensor, reconstructed: Tensor) -> None:
        """Take in inputs (N, D) and their reconstructions (N, D)."""
        inputs, reconstructed = inputs.double(), reconstructed.double()
        self.total = self.total + inputs.sum(0)
        self.squares = self.squares + inputs.square().sum()
        self.error = self.error + (inputs - reconstructed).square().sum()
        self.count = self.count + len(inputs)

    def compute(self) -> Tensor:
        """The share; nan without inputs."""
        variance = self.squares - self.total.square().sum() / self.count
        return (1 - self.error / variance).float()
