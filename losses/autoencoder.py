"""Losses of sparse autoencoders: how much is lost of what was encoded, and what dead features could still explain."""

from __future__ import annotations

from torch import Tensor

_TINY = 1e-8


def reconstruction_loss(inputs: Tensor, reconstructed: Tensor) -> Tensor:
    """Squared error as a share of the variance of the inputs; 0 is perfect, 1 is as good as their mean.

    Args:
        inputs: (N, D).
        reconstructed: (N, D).

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> inputs = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
        >>> reconstruction_loss(inputs, inputs.mean(0).expand(2, 2)).item(), reconstruction_loss(inputs, inputs).item()
        (1.0, 0.0)
    """
    error = (reconstructed - inputs).square().sum()
    return error / (inputs - inputs.mean(0)).square().sum().clamp(min=_TINY)


def revival_loss(error: Tensor, explained: Tensor) -> Tensor:
    """What is left of the error when features that no longer fire try to explain it; it gives them gradients again.

    Args:
        error: (N, D) inputs minus their reconstruction; a target, without gradients.
        explained: (N, D) what the dead features make of it.

    Returns:
        A scalar, 1 where they explain nothing.

    Reference:
        Gao et al., Scaling and Evaluating Sparse Autoencoders, 2024 (auxiliary loss, appendix A.2).

    Example:
        >>> import torch
        >>> revival_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item()
        0.25
    """
    target = error.detach()
    return (explained - target).square().sum() / target.square().sum().clamp(min=_TINY)
