"""One forward pass over padded rows: positions, masks, cached states before them, and what steers each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from lm.growing_cache import cache_after

# Keys and values of every layer, each (B, heads, T, head_dim).
States = list[tuple[Tensor, Tensor]]
Side = Literal["left", "right"]
"""Where shorter rows are filled up."""
CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the states of earlier tokens: from 5.24 on, and before."""
CACHE = next(name for name in CACHE_NAMES if name in CausalLMOutputWithPast.__dataclass_fields__)
"""The name that the installed one takes them by, and returns them under."""


@dataclass(frozen=True)
class ForwardRows:
    """What the rows of one forward pass are.

    Attributes:
        keys: The steering key of each row's prompt (B,).
        attention_mask: 1 on tokens, 0 on padding, over the cached tokens and those of this pass (B, cached + T).
        answer_mask: True on those tokens of this pass that belong to a continuation, not to the prompt (B, T).
        closes_prompt: Whether the prompts of this pass end in it; False for a beginning that several prompts share.
    """

    keys: Tensor
    attention_mask: Tensor
    answer_mask: Tensor
    closes_prompt: bool = True


@dataclass(frozen=True)
class Steering:
    """How to steer the rows of a batch whatever order and company they are computed in.

    Attributes:
        enter: Called before each forward pass; the context it returns is active during the pass. An intervention with a
            row per record does `lambda rows: applied(lm, edit.rows(rows.keys))`.
        keys: For each prompt what steers it, such as the number of its record. Prompts with one key must be steered
            alike: they may share the computation of a common beginning.
        spares_prompts: Whether nothing before the last token of a prompt is steered. Equal prompts are then computed
            once up to that token, whatever steers them, and `enter` is not called for that part.
        all_alike: Whether all tokens are steered alike, wherever they stand. Prompts with one key may then share a row.
    """

    enter: Callable[[ForwardRows], AbstractContextManager[object]]
    keys: Sequence[int]
    spares_prompts: bool = False
    all_alike: bool = False

    def check(self, prompts: int) -> None:
        """Refuse keys that do not match the prompts.

        Raises:
            ValueError: There is not one key per prompt.
        """
        if len(self.keys) != prompts:
            raise ValueError(f"expected one steering key per prompt ({prompts}), got {len(self.keys)}")


@dataclass
class Rows:
    """Token rows to run after states that are already computed.

    Attributes:
        ids: Token ids (B, T).
        mask: 1 on tokens, 0 on padding (B, T).
        keys: Steering keys (B,).
        past: Cached states of the tokens before, None at the beginning.
        past_mask: 1 on cached tokens, 0 on cached padding (B, cached).
        is_answer: Whether these tokens belong to continuations; or which of them do (B, T).
        closes_prompt: Whether these tokens are the last ones of their prompts.
    """

    ids: Tensor
    mask: Tensor
    keys: Tensor
    past: States | None = None
    past_mask: Tensor | None = None
    is_answer: bool | Tensor = False
    closes_prompt: bool = True


def forward(model: PreTrainedModel, rows: Rows, steering: Steering | None, last_only: bool) -> tuple[Tensor, States]:
    """Run rows through a model.

    Args:
        model: The model.
        rows: What to run; the past it names is left as it is.
        steering: What to apply, if anything.
        last_only: Compute logits at the last position only.

    Returns:
        The logits (B, 1 or T, V) in the model's number format, and the states of all tokens so far.
    """
    mask = rows.mask if rows.past_mask is None else torch.cat([rows.past_mask, rows.mask], dim=1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -rows.ids.shape[1] :]
    answer_mask = rows.mask.bool() & rows.is_answer
    # It keeps every token of sliding-window layers too; the window itself is in the attention mask.
    cache = cache_after(rows.past or [])
    described = ForwardRows(rows.keys, mask, answer_mask, rows.closes_prompt)
    with steering.enter(described) if steering else nullcontext():
        output = model(
            input_ids=rows.ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1 if last_only else 0,
            **{CACHE: cache},
        )
    return output.logits, states_of(output)


def states_of(output: Any) -> States:
    """The keys and values that a model returns beside its logits."""
    return [(layer.keys, layer.values) for layer in getattr(output, CACHE).layers]


def padded(sequences: Sequence[Sequence[int]], side: Side, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask (B, T) of sequences of different length, padded with token 0, which the mask hides.

    >>> padded([[5, 6], [7]], "left", torch.device("cpu"))
    (tensor([[5, 6],
            [0, 7]]), tensor([[1, 1],
            [0, 1]]))
    """
    width = max(len(sequence) for sequence in sequences)
    ids, mask = [], []
    for sequence in sequences:
        gap = [0] * (width - len(sequence))
        ones = [1] * len(sequence)
        ids.append([*gap, *sequence] if side == "left" else [*sequence, *gap])
        mask.append([*gap, *ones] if side == "left" else [*ones, *gap])
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside the block; every submodule's own mode is restored after it."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
