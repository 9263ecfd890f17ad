"""Losses of a personality edit: of the edit step, of the edited opinions, and of opinions that must stay.

The functions on whole batches give the published quantities. Training goes through the two functions on single
positions, `label_log_probs` and `kl_per_position`: they keep one buffer of the size of the logits for the backward
pass, where the textbook chain of log-softmax, gather and product keeps or makes four.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED_LABEL = -100
FLOAT32_EPSILON = 2.0**-23
# Entries of the logits that are worked on at once: small enough to stay out of the way, large enough to be fast.
BLOCK_ENTRIES = 2**21


class TextLoss(NamedTuple):
    """Loss of a batch of texts and what it is made of, all scalars.

    Attributes:
        nll: The loss.
        acc: Share of counted tokens that were the likeliest, over all rows.
        log_prob: Mean log-probability of the counted tokens, of the rows of the target personality if rows differ.
        prob: `exp(log_prob)`; for the edit step itself the mean probability.
        n_tokens: Number of tokens in `log_prob`.
    """

    nll: Tensor
    acc: Tensor
    log_prob: Tensor
    prob: Tensor
    n_tokens: Tensor


def inner_edit_loss(logits: Tensor, labels: Tensor, *, shift: bool = True) -> TextLoss:
    """Loss of the edit step: mean negative log-likelihood over all counted tokens of all rows.

    Args:
        logits: (B, T, V) any floating type.
        labels: (B, T); -100 is ignored.
        shift: Match the logits of a position with the label after it.

    Returns:
        The loss and its parts; nan if nothing is counted.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> inner_edit_loss(torch.zeros(1, 3, 4), torch.tensor([[-100, 1, 2]])).nll  # log 4
        tensor(1.3863)
    """
    chosen, targets, _ = counted_positions(logits, labels, shift=shift)
    log_probs = label_log_probs(chosen, targets)
    mean = log_probs.mean()
    return TextLoss(-mean, _accuracy(chosen, targets), mean, log_probs.exp().mean(), _count(log_probs))


def personality_loss(
    logits: Tensor, labels: Tensor, same_mask: Tensor, *, unlikelihood: bool = True, shift: bool = True
) -> TextLoss:
    """Likelihood of the target personality's texts and unlikelihood of the others'.

    Args:
        logits: (B, T, V) any floating type.
        labels: (B, T); -100 is ignored.
        same_mask: (B,) True where the row's text has the target personality.
        unlikelihood: Also push the tokens of the other rows down, by `-mean log(1 - p + eps)`.
        shift: Match the logits of a position with the label after it.

    Returns:
        The loss and its parts. Without tokens of the target, or with unlikelihood without tokens of others, the mean
        over nothing is nan.

    Raises:
        ValueError: If shapes do not fit.

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023.

    Example:
        >>> logits, labels = torch.zeros(2, 2, 4), torch.tensor([[-100, 1], [-100, 2]])
        >>> personality_loss(logits, labels, torch.tensor([True, False])).nll  # log 4 - log(3 / 4)
        tensor(1.6740)
    """
    if same_mask.shape != labels.shape[:1]:
        raise ValueError(f"`same_mask` expected shape {tuple(labels.shape[:1])} but got {tuple(same_mask.shape)}")
    chosen, targets, rows = counted_positions(logits, labels, shift=shift)
    log_probs = label_log_probs(chosen, targets)
    same = same_mask.bool()[rows]
    mean = log_probs[same].mean()
    nll = -mean
    if unlikelihood:
        nll = nll - log_complement(log_probs[~same]).mean()
    return TextLoss(nll, _accuracy(chosen, targets), mean, mean.exp(), _count(log_probs[same]))


def drawdown_loss(logits_pre: Tensor, logits_post: Tensor, mask: Tensor) -> Tensor:
    """Mean KL(before || after) over the masked positions; there is no shift.

    Args:
        logits_pre: (B, T, V) before the edit, any floating type; no gradient flows to it.
        logits_post: (B, T2, V) after the edit; of a longer one the last T positions are compared.
        mask: (B, T) of bool, or 0 and 1.

    Returns:
        A scalar; nan if the mask is empty.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> drawdown_loss(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]), torch.ones(1, 1))
        tensor(0.8554)
    """
    logits_post = logits_post[:, -logits_pre.shape[1] :]
    if logits_pre.shape != logits_post.shape or mask.shape != logits_pre.shape[:2]:
        raise ValueError(
            f"expected logits of one shape and a mask over their positions but got {tuple(logits_pre.shape)}, "
            f"{tuple(logits_post.shape)} and {tuple(mask.shape)}"
        )
    chosen = mask.bool()
    return kl_per_position(logits_pre[chosen], logits_post[chosen]).mean()


def counted_positions(logits: Tensor, labels: Tensor, *, shift: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """The positions that a loss counts.

    Args:
        logits: (B, T, V).
        labels: (B, T); -100 is ignored.
        shift: Match the logits of a position with the label after it.

    Returns:
        Logits (N, V) of the counted positions, their labels (N,) and the row each comes from (N,).

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> logits, labels = torch.zeros(1, 3, 5), torch.tensor([[-100, 3, 4]])
        >>> counted_positions(logits, labels)[1:]
        (tensor([3, 4]), tensor([0, 0]))
    """
    if logits.dim() != 3 or labels.shape != logits.shape[:2]:
        raise ValueError(f"expected labels (B, T) for logits {tuple(logits.shape)} but got {tuple(labels.shape)}")
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    counted = labels != IGNORED_LABEL
    return logits[counted], labels[counted], counted.nonzero()[:, 0]


def edit_success_loss(same: Tensor, other: Tensor, before: Tensor) -> Tensor:
    """Negative logarithm of edit success, finite wherever the log-probabilities are.

    Args:
        same: (E,) mean log-probability of the target's tokens after the edit.
        other: (E,) the same of the other traits' tokens.
        before: (E,) that of the target's tokens before the edit.

    Returns:
        (E,).

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023 (metric ES).

    Example:
        >>> edit_success_loss(torch.tensor([-2.0]), torch.tensor([-2.0]), torch.tensor([-1.0]))  # log 2 + 1
        tensor([1.6931])
    """
    return F.softplus(other - same) + F.relu(before - same)


def log_complement(log_probs: Tensor) -> Tensor:
    """`log(1 - p + eps)` of probabilities given by their logarithm, finite even where p is 1.

    Example:
        >>> log_complement(torch.tensor([0.0]))  # log of float32's epsilon
        tensor([-15.9424])
    """
    return (1 - log_probs.exp() + FLOAT32_EPSILON).log()


def label_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of one label per position, with a small backward pass.

    Args:
        logits: (N, V) any floating type.
        labels: (N,) each from 0 to V - 1.

    Returns:
        (N,) in float32, or float64 for such logits.

    Example:
        >>> label_log_probs(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor([-1.3863, -1.3863])
    """
    return _LabelLogProbs.apply(logits, labels)


def kl_per_position(logits_pre: Tensor, logits_post: Tensor) -> Tensor:
    """KL(before || after) at each position, with a small backward pass.

    Args:
        logits_pre: (N, V) before; no gradient flows to it.
        logits_post: (N, V) after.

    Returns:
        (N,) in float32, or float64 for such logits.

    Example:
        >>> kl_per_position(torch.zeros(1, 2), torch.tensor([[0.0, 3.0]]))
        tensor([0.8554])
    """
    return _KLPerPosition.apply(logits_pre.detach(), logits_post)


class _LabelLogProbs(torch.autograd.Function):
    """Keeps the logits and two numbers per position; the softmax is made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        peak = logits.amax(-1) if logits.shape[0] else logits.new_zeros(0)
        total = _exact(peak.new_empty(peak.shape))
        for rows in _blocks(logits):
            total[rows] = (_exact(logits[rows]) - _exact(peak[rows])[:, None]).exp_().sum(-1)
        chosen = logits.gather(-1, labels[:, None]).squeeze(-1)
        # The peak is taken off first: the likeliest label then keeps its digits, which 1 - p depends on.
        log_total = total.log_()
        ctx.save_for_backward(logits, labels, peak, log_total)
        return (_exact(chosen) - _exact(peak)) - log_total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        logits, labels, peak, log_total = ctx.saved_tensors
        grad_logits = torch.empty_like(logits)
        for rows in _blocks(logits):
            softmax = (_exact(logits[rows]) - _exact(peak[rows])[:, None]).sub_(log_total[rows, None]).exp_()
            softmax.scatter_add_(-1, labels[rows, None], softmax.new_full((len(softmax), 1), -1.0))
            grad_logits[rows] = softmax.mul_(-grad[rows, None]).to(logits.dtype)
        return grad_logits, None


class _KLPerPosition(torch.autograd.Function):
    """Keeps the gradient itself, the difference of the two distributions."""

    @staticmethod
    def forward(ctx: Any, logits_pre: Tensor, logits_post: Tensor) -> Tensor:
        result = _exact(logits_pre.new_zeros(len(logits_pre)))
        gradient = torch.empty_like(logits_post) if ctx.needs_input_grad[1] else None
        for rows in _blocks(logits_pre):
            before = _exact(logits_pre[rows]).log_softmax(-1)
            after = _exact(logits_post[rows]).log_softmax(-1)
            probability = before.exp()
            # A token without any probability before adds nothing, whatever its logarithm.
            gap = torch.where(probability > 0, before.sub_(after), 0.0)
            result[rows] = gap.mul_(probability).sum(-1)
            if gradient is not None:
                gradient[rows] = after.exp_().sub_(probability).to(logits_post.dtype)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * grad[:, None].to(gradient.dtype)


def _blocks(logits: Tensor) -> Iterator[slice]:
    """Slices over positions, of at most `BLOCK_ENTRIES` logits each."""
    step = max(1, BLOCK_ENTRIES // max(1, logits.shape[1]))
    for start in range(0, logits.shape[0], step):
        yield slice(start, start + step)


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(-1) == labels).float().mean()


def _count(values: Tensor) -> Tensor:
    return torch.tensor(float(len(values)), device=values.device)
