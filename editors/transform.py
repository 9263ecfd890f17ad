"""MEND's gradient transform: from the factors of a gradient to the factors of an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from editors.moments import RunningMoments

STD_FLOOR = 1e-7


@dataclass(frozen=True)
class FactorRows:
    """Factors of one weight's gradient, one row per token that has any.

    Attributes:
        u: (M, in) inputs of the layer.
        v: (M, out) gradients of the edit loss with respect to its output.
        mode: Which of the weights that share the transform this is; None for a transform of one weight alone.
    """

    u: Tensor
    v: Tensor
    mode: int | None = None


def kept_rows(u: Tensor, v: Tensor) -> Tensor:
    """Which tokens take part: those whose input and whose gradient are both not all zero.

    Args:
        u: (..., in).
        v: (..., out).

    Returns:
        (...) of bool.

    Example:
        >>> kept_rows(torch.tensor([[1.0], [0.0], [1.0]]), torch.tensor([[2.0], [2.0], [0.0]]))
        tensor([ True, False, False])
    """
    return (u != 0).any(-1) & (v != 0).any(-1)


class GradientTransform(nn.Module):
    """Turns input and output-gradient of a layer, token by token, into the factors of an edit of its weight.

    Both are normalised by running statistics, joined, and passed through a network that starts as the identity. All
    weights of one shape share a transform and tell themselves apart by a scale and a shift of their own (their mode).

    Args:
        x_dim: Width of the layer's input.
        delta_dim: Width of its output.
        n_modes: How many weights share the transform; None for one weight without scale and shift.
        rank: Rank of the network's matrices, capped at their width.
        n_hidden: Hidden layers; the network has one more.
        combine: One network for both factors, joined. Otherwise one for each, or for some.
        one_sided: A network only for the narrower factor.
        x_only: A network only for the inputs.
        delta_only: A network only for the gradients.
        clip: Bound on the normalised factors; None leaves them as they are.

    Raises:
        ValueError: If `combine` is asked for together with a variant, or several variants at once.

    Reference:
        Mitchell et al., Fast Model Editing at Scale, 2022 (MEND), section 3 and appendix.

    Deviation:
        `clip` is ours. A topic that the model cannot name gives gradients far outside the statistics, and without a
        bound the edit made from them destroys the model.
    """

    def __init__(
        self,
        x_dim: int,
        delta_dim: int,
        n_modes: int | None = 1,
        *,
        rank: int = 1920,
        n_hidden: int = 1,
        combine: bool = True,
        one_sided: bool = False,
        x_only: bool = False,
        delta_only: bool = False,
        clip: float | None = None,
    ) -> None:
        super().__init__()
        if combine + one_sided + x_only + delta_only > 1:
            raise ValueError("expected at most one of `combine`, `one_sided`, `x_only` and `delta_only`")
        self.widths = (x_dim, delta_dim)
        self.clip = clip
        self.moments = RunningMoments(x_dim + delta_dim)
        on_x = not delta_only and not (one_sided and x_dim > delta_dim)
        on_delta = not x_only and not (one_sided and x_dim <= delta_dim)
        widths = {"joined": x_dim + delta_dim} if combine else {"u": x_dim} if on_x else {}
        if not combine and on_delta:
            widths["v"] = delta_dim
        self.networks = nn.ModuleDict(
            {name: IdentityNetwork(width, n_modes, rank, n_hidden) for name, width in widths.items()}
        )

    def forward(self, parts: Sequence[FactorRows]) -> list[tuple[Tensor, Tensor]]:
        """Transform the factors of several weights.

        In training the rows enter the running statistics first, weight by weight: each weight is normalised with its
        own rows and those before it counted, those after it not.

        Args:
            parts: For each weight its rows; none at all is allowed.

        Returns:
            For each weight new factors (M, in) and (M, out).

        Raises:
            UntrainedError: If the statistics hold fewer than two rows.
        """
        joined = torch.cat([self._normalised(torch.cat([part.u, part.v], -1)) for part in parts])
        modes = [(part.mode, len(part.u)) for part in parts]
        if "joined" in self.networks:
            joined = self.networks["joined"](joined, modes)
            u, v = joined.split(self.widths, -1)
        else:
            u, v = joined.split(self.widths, -1)
            u = self.networks["u"](u, modes) if "u" in self.networks else u
            v = self.networks["v"](v, modes) if "v" in self.networks else v
        lengths = [len(part.u) for part in parts]
        return list(zip(u.split(lengths), v.split(lengths), strict=True))

    def _normalised(self, rows: Tensor) -> Tensor:
        rows = rows.to(self.moments.mean.dtype)
        if self.training:
            self.moments.update(rows)
        rows = (rows - self.moments.mean) / (self.moments.std + STD_FLOOR)
        return rows if self.clip is None else rows.clamp(-self.clip, self.clip)


class IdentityNetwork(nn.Module):
    """Layers that add to their input; right after construction they add nothing.

    Args:
        width: Width of input and output.
        n_modes: Number of scales and shifts to choose from; None for none.
        rank: Rank of the matrices, capped at the width.
        n_hidden: Hidden layers; there is one layer more.
    """

    def __init__(self, width: int, n_modes: int | None, rank: int, n_hidden: int) -> None:
        super().__init__()
        self.n_modes = n_modes
        self.layers = nn.ModuleList([LowRankResidual(width, n_modes, rank) for _ in range(n_hidden + 1)])

    def forward(self, x: Tensor, modes: Sequence[tuple[int | None, int]]) -> Tensor:
        """Pass rows (M, width) through; `modes` lists (mode, number of rows) from the first row on."""
        which = _one_hot(modes, self.n_modes, x)
        for layer in self.layers:
            x = layer(x, which)
        return x


class LowRankResidual(nn.Module):
    """`x + max(0, scale * (u v x + bias) + shift)`, with scale and shift by mode.

    At the start u, bias and shift are zero, so the layer is the identity. It learns nevertheless, because the maximum
    lets the gradient through where its argument is exactly zero, which an ordinary rectifier would not.

    Args:
        width: Width of input and output.
        n_modes: Number of scales and shifts; None for none.
        rank: Rank of the product, capped at the width.
    """

    def __init__(self, width: int, n_modes: int | None, rank: int) -> None:
        super().__init__()
        rank = min(rank, width)
        self.u = nn.Parameter(torch.zeros(width, rank))
        self.v = nn.Parameter(torch.randn(rank, width))
        self.bias = nn.Parameter(torch.zeros(width))
        if n_modes is not None:
            self.mode_scale = nn.Parameter(torch.ones(n_modes, width))
            self.mode_shift = nn.Parameter(torch.zeros(n_modes, width))

    def forward(self, x: Tensor, which: Tensor | None) -> Tensor:
        """Rows (M, width) to rows (M, width); `which` (M, n_modes) marks each row's mode, None leaves modes out."""
        modes = (None, None, None) if which is None else (which, self.mode_scale, self.mode_shift)
        return _WidenedResidual.apply(x, nn.functional.linear(x, self.v), self.u, self.bias, *modes)


class _WidenedResidual(torch.autograd.Function):
    """`x + max(0, scale * (u narrow + bias) + shift)`, of which only the narrow part is kept for the backward pass.

    The network waits for its backward pass while the edits are judged, which is when memory is scarce; to make the wide
    part again then costs one product in eight.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, narrow: Tensor, u: Tensor, bias: Tensor, *modes: Tensor | None) -> Tensor:
        ctx.save_for_backward(narrow, u, bias, *modes)
        return _scaled_and_shifted(torch.addmm(bias, narrow, u.T), *modes).clamp_(min=0).add_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        narrow, u, bias, which, scale, shift = ctx.saved_tensors
        hidden = torch.addmm(bias, narrow, u.T)
        grad_hidden = grad * (_scaled_and_shifted(hidden, which, scale, shift) >= 0)
        grad_scale = grad_shift = None
        if which is not None:
            grad_scale, grad_shift = which.T @ hidden.mul_(grad_hidden), which.T @ grad_hidden
            grad_hidden *= which @ scale
        return grad, grad_hidden @ u, grad_hidden.T @ narrow, grad_hidden.sum(0), None, grad_scale, grad_shift


def _scaled_and_shifted(hidden: Tensor, which: Tensor | None, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """`scale * hidden + shift` by each row's mode."""
    if which is None or scale is None or shift is None:
        return hidden
    return torch.addcmul(which @ shift, hidden, which @ scale)


def _one_hot(modes: Sequence[tuple[int | None, int]], n_modes: int | None, like: Tensor) -> Tensor | None:
    """The mode of each row as a row of zeros and a one (M, n_modes); None where rows have no mode.

    Raises:
        ValueError: If some rows have a mode and others not, or a mode does not exist.
    """
    numbers = [mode for mode, _ in modes if mode is not None]
    if not numbers:
        return None
    if n_modes is None or len(numbers) != len(modes) or max(numbers) >= n_modes:
        raise ValueError(f"expected a mode below {n_modes} for all weights or for none but got {[m for m, _ in modes]}")
    result = like.new_zeros(sum(length for _, length in modes), n_modes)
    start = 0
    for mode, length in modes:
        result[start : start + length, mode] = 1
        start += length
    return result
