"""The gradient of an edit's loss as factors: what enters each weight, and the loss's gradient at what leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from editors.halves import ModelHalves
from interventions.applied import entering_tensor
from lm.chat import TokenBatch
from losses.edit import IGNORED_LABEL, label_log_probs

CountedTokens = Literal["answer", "all"]


@dataclass(frozen=True)
class Factors:
    """Factors of one weight's gradient for E edits: the gradient is the sum over tokens of `v^T u`.

    Attributes:
        u: (E, T, in) inputs of the layer.
        v: (E, T, out) gradients with respect to its output; zero where a token plays no part.
    """

    u: Tensor
    v: Tensor


def counted_labels(tokens: TokenBatch, counted: CountedTokens) -> Tensor:
    """The tokens a loss is about (B, T), -100 elsewhere.

    Args:
        tokens: The texts.
        counted: `answer` for the tokens of answers; `all` for every token but each row's first.
    """
    labels = tokens.labels()
    return labels if counted == "all" else labels.masked_fill(~tokens.answer_mask, IGNORED_LABEL)


def predicting(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where tokens are predicted, and which.

    Args:
        labels: (B, T) tokens that count, -100 elsewhere.

    Returns:
        (B, T) True at the position before each of them, and (B, T) the token there, -100 elsewhere.

    Example:
        >>> predicting(torch.tensor([[-100, -100, 7, 8]]))
        (tensor([[False,  True,  True, False]]), tensor([[-100,    7,    8, -100]]))
    """
    following = nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)
    return following != IGNORED_LABEL, following


def edit_factors(
    halves: ModelHalves, tokens: TokenBatch, edits: int, modules: Mapping[str, nn.Module], counted: CountedTokens
) -> tuple[dict[str, Factors], Tensor]:
    """Factors of the gradient of each edit's loss, all edits in one pass.

    The loss of an edit is the mean negative log-likelihood of its counted tokens. Where an intervention is on the
    model, the gradient is that of the changed model: so an edit is made on top of another.

    Args:
        halves: The model, cut at the first edited block.
        tokens: Texts of the edits, as many rows for each edit, those of one edit next to each other.
        edits: E, the number of edits.
        modules: The layers whose weights are edited, by path.
        counted: Which tokens the loss counts.

    Returns:
        The factors of each weight, by path, and the loss of each edit (E,).
    """
    positions, following = predicting(counted_labels(tokens, counted))
    rows = positions.nonzero()[:, 0] // (len(tokens) // edits)
    shares = 1 / torch.bincount(rows, minlength=edits).clamp(min=1)
    states = halves.lower(tokens)
    passed: dict[str, tuple[Tensor, Tensor]] = {}
    with torch.enable_grad(), ExitStack() as stack:
        for path, module in modules.items():
            stack.callback(_remember(module, path, passed))
        parts = -label_log_probs(halves.upper(tokens, states, positions), following[positions]) * shares[rows]
        gradients = torch.autograd.grad(parts.sum(), [passed[path][1] for path in modules])
    losses = parts.new_zeros(edits).index_add(0, rows, parts.detach())
    factors = {
        path: Factors(_by_edit(passed[path][0], edits), _by_edit(gradient, edits))
        for path, gradient in zip(modules, gradients, strict=True)
    }
    return factors, losses


def _remember(module: nn.Module, path: str, passed: dict[str, tuple[Tensor, Tensor]]) -> Any:
    """Keep what enters and leaves a layer, the latter as something to differentiate by; the result ends it."""

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        # Under a frozen model the first edited layer's output starts the graph; the later ones are inside it already.
        if not output.requires_grad:
            output.requires_grad_()
        passed[path] = (entering_tensor(args, kwargs).detach(), output)

    return module.register_forward_hook(keep, with_kwargs=True).remove


def _by_edit(values: Tensor, edits: int) -> Tensor:
    """(B, T, d), or (B * T, d) where a model flattens, to (E, rows per edit * T, d)."""
    return values.reshape(edits, values.numel() // (edits * values.shape[-1]), values.shape[-1])
