"""From logits to one number per token, only where a mask asks for it.

The mask picks positions before anything is cast to float32, and the sums over the vocabulary go block by block
(`losses/edit.py`), so the full (R, T, V) logits never exist in float32. Sums and exponentials in half precision would
be wrong in the first digits or overflow.
"""

from typing import Literal

import torch
from torch import Tensor

from losses import edit

Variant = Literal["next_token", "as_released"]


def label_log_probs(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Log-probability of each label under the logits of its own position, where the mask is set.

    Args:
        logits: (R, T, V) any floating type.
        labels: (R, T); -100 is read as token 0, so that the mask alone decides what counts.
        mask: (R, T) of bool, or 0 and 1.

    Returns:
        (R, T) in at least float32, 0 outside the mask. Gradients flow to the logits.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 3.0]]])
        >>> label_log_probs(logits, torch.tensor([[1, 1]]), torch.tensor([[True, False]]))
        tensor([[-0.6931,  0.0000]])
    """
    check_rows(logits, labels=labels, mask=mask)
    mask = mask.bool()
    tokens = labels[mask]
    return _placed(edit.label_log_probs(logits[mask], tokens.masked_fill(tokens == edit.IGNORED_LABEL, 0)), mask)


def token_kl(logits_pre: Tensor, logits_post: Tensor, mask: Tensor) -> Tensor:
    """KL divergence of the distribution after from the one before, KL(pre || post), at each masked position.

    A token without any probability before adds nothing. Gradients flow to the logits after, not to those before.

    Args:
        logits_pre: (R, T, V) before; the reference.
        logits_post: (R, T2, V) after, T2 >= T. Positions are compared from the end, since a longer one has more prompt.
        mask: (R, T) of bool, or 0 and 1.

    Returns:
        (R, T) in at least float32, 0 outside the mask.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> same = torch.zeros(1, 1, 2)
        >>> token_kl(same, torch.tensor([[[0.0, 3.0]]]), torch.ones(1, 1))
        tensor([[0.8554]])
        >>> token_kl(same, same, torch.ones(1, 1))
        tensor([[0.]])
    """
    check_rows(logits_pre, mask=mask)
    if logits_post.ndim != 3 or logits_post.shape[1] < logits_pre.shape[1]:
        raise ValueError(
            f"`logits_post` expected at least as many positions as `logits_pre` {tuple(logits_pre.shape)} "
            f"but got {tuple(logits_post.shape)}"
        )
    logits_post = logits_post[:, -logits_pre.shape[1] :]
    if logits_post.shape != logits_pre.shape:
        raise ValueError(f"`logits_post` expected {tuple(logits_pre.shape)} but got {tuple(logits_post.shape)}")
    mask = mask.bool()
    return _placed(edit.kl_per_position(logits_pre[mask], logits_post[mask]), mask)


def shifted(variant: Variant, logits: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Line up logits with the labels and the mask they are judged by.

    Args:
        variant: `next_token`: the logits of a position predict the token after it. `as_released`: the token at the
            position itself, which the model has already read.
        logits: (R, T, V).
        labels: (R, T).
        mask: (R, T), True on the answer's tokens.

    Returns:
        The three, with T - 1 positions for `next_token`.

    Raises:
        ValueError: If there is no such variant.

    Example:
        >>> logits, labels, mask = torch.zeros(1, 3, 2), torch.tensor([[5, 6, 7]]), torch.tensor([[0, 1, 1]])
        >>> shifted("next_token", logits, labels, mask)[1:]
        (tensor([[6, 7]]), tensor([[1, 1]]))
    """
    if variant == "as_released":
        return logits, labels, mask
    if variant != "next_token":
        raise ValueError(f"`variant` expected 'next_token' or 'as_released' but got {variant!r}")
    return logits[:, :-1], labels[:, 1:], mask[:, 1:]


def exact(values: Tensor) -> Tensor:
    """The values in float32, or in float64 if they came so.

    Example:
        >>> exact(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_rows(logits: Tensor, **beside: Tensor) -> None:
    """Check that each tensor has one entry per row and position of the logits.

    Raises:
        ValueError: Naming the tensor, the expected and the actual shape.
    """
    if logits.ndim != 3:
        raise ValueError(f"`logits` expected shape (R, T, V) but got {tuple(logits.shape)}")
    for name, tensor in beside.items():
        if tensor.shape != logits.shape[:2]:
            raise ValueError(f"`{name}` expected shape {tuple(logits.shape[:2])} but got {tuple(tensor.shape)}")


def _placed(values: Tensor, mask: Tensor) -> Tensor:
    """Put one value per masked position back into (R, T), zeros elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
