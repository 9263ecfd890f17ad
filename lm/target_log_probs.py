"""Log-probabilities of chosen tokens of whole rows; the output layer runs where one is asked for and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from files.errors import InputError


@dataclass
class HeadInput:
    """What the output layer was given.

    Attributes:
        hidden: The last hidden state at the places asked for (N, D); None before the model has run.
    """

    hidden: Tensor | None = None


@contextmanager
def head_at(lm: PreTrainedModel, places: Tensor) -> Iterator[HeadInput]:
    """Run the output layer of a model at some places only: logits come out as (N, V), in the order of the rows.

    Scaling and capping of logits that an architecture does after its output layer stay in force. For training without a
    cache; the hook is gone on any exit.

    Args:
        lm: A language model, adapted or not.
        places: True where logits are wanted (B, T).

    Yields:
        What the output layer was given, once the model has run inside the block.

    Raises:
        InputError: The model has no output layer.
    """
    head = lm.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise InputError(
            "the model has no output layer to train",
            field="lm.name",
            expected="a model that writes text",
            got=type(lm).__name__,
            fix="name a causal language model",
        )
    seen = HeadInput()

    def keep(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.hidden = args[0][places]
        return (seen.hidden, *args[1:])

    handle = head.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def target_log_probs(
    lm: PreTrainedModel, input_ids: Tensor, target_mask: Tensor, position_ids: Tensor | None = None
) -> Tensor:
    """Log-probability of the marked tokens after what comes before them in their row, in float32.

    Rows are padded on the right, so that no mask of the padding is needed: a token sees what is on its left alone.

    Args:
        lm: A language model.
        input_ids: Token ids (B, T).
        target_mask: True on the tokens asked for (B, T); a row's first token cannot be.
        position_ids: Positions (B, T); those of packed rows start anew with every chat. Counted from 0 where left out.

    Returns:
        One number per marked token (N,), in the order of the rows.
    """
    return target_outputs(lm, input_ids, target_mask, position_ids)[0]


def target_outputs(
    lm: PreTrainedModel,
    input_ids: Tensor,
    target_mask: Tensor,
    position_ids: Tensor | None = None,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The same under a temperature, with the hidden states that the tokens were predicted from.

    Returns:
        Log-probabilities (N,) and the input of the output layer (N, D).
    """
    targets = target_mask[:, 1:]
    if position_ids is None:
        position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    with head_at(lm, F.pad(targets, (0, 1))) as seen:
        logits = lm(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits
    if seen.hidden is None:
        raise RuntimeError("the model has run without its output layer")
    scaled = logits.float() if temperature == 1.0 else logits.float() / temperature
    return -F.cross_entropy(scaled, input_ids[:, 1:][targets], reduction="none"), seen.hidden


def row_sums(values: Tensor, mask: Tensor) -> Tensor:
    """Sum of the values (N,) of each row's marked places (B, T), one per row (B,).

    >>> row_sums(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([[True, True], [False, True]]))
    tensor([3., 4.])
    """
    rows = mask.nonzero()[:, 0]
    return torch.zeros(len(mask), dtype=values.dtype, device=values.device).index_add(0, rows, values)
