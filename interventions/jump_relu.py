"""The jump activation of sparse autoencoders, with gradients that reach its thresholds.

Reference: Rajamanoharan et al., Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders,
2024, equations 11 and 12: where a value lies within half a bandwidth of its threshold, the jump is taken for a slope.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(values, threshold)
        ctx.bandwidth = bandwidth
        return torch.where(values > threshold, values, torch.zeros_like(values))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        values, threshold = ctx.saved_tensors
        (gradient,) = gradients
        near = _near(values, threshold, ctx.bandwidth)
        of_threshold = (near * gradient).flatten(0, -2).sum(0) * (-threshold / ctx.bandwidth)
        return torch.where(values > threshold, gradient, torch.zeros_like(gradient)), of_threshold, None


class _Fires(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(values, threshold)
        ctx.bandwidth = bandwidth
        return (values > threshold).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        values, threshold = ctx.saved_tensors
        (gradient,) = gradients
        near = _near(values, threshold, ctx.bandwidth)
        return None, (near * gradient).flatten(0, -2).sum(0) / -ctx.bandwidth, None


def jump_relu(values: Tensor, threshold: Tensor, bandwidth: float = 0.001) -> Tensor:
    """Values above their threshold as they are, and 0 for the others.

    Args:
        values: (..., F).
        threshold: (F,), not below 0.
        bandwidth: Width around a threshold in which values move it.

    Returns:
        (..., F).

    Example:
        >>> jump_relu(torch.tensor([[0.5, 0.5]]), torch.tensor([0.4, 0.6]))
        tensor([[0.5000, 0.0000]])
    """
    return _Jump.apply(values, threshold, bandwidth)


def fires(values: Tensor, threshold: Tensor, bandwidth: float = 0.001) -> Tensor:
    """1 where a value is above its threshold and 0 elsewhere; their sum is the number of active features.

    Args:
        values: (..., F).
        threshold: (F,), not below 0.
        bandwidth: Width around a threshold in which values move it; the values themselves get no gradient.

    Returns:
        (..., F).

    Example:
        >>> threshold = torch.tensor([0.4], requires_grad=True)
        >>> fires(torch.tensor([[0.41], [2.0]]), threshold, bandwidth=0.1).sum().backward()
        >>> threshold.grad
        tensor([-10.])
    """
    return _Fires.apply(values, threshold, bandwidth)


def _near(values: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    return ((values - threshold).abs() < bandwidth / 2).to(values.dtype)
