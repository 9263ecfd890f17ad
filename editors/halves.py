"""A causal model run in two halves: the blocks below the first edited one, and everything from there on.

Below the first edited block base and edited model give the same states, so these are computed once. The upper half is
the model's own forward with the lower blocks passing their input through and the kept states put in at the first
edited block: masks, positions, the final norm, the output layer and any capping of its logits are the model's,
whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interventions.applied import entering_tensor
from lm.chat import TokenBatch
from lm.limits import check_length


class _Reached(Exception):  # noqa: N818 - not an error: ends a forward that has given all that is wanted
    """The first edited block was reached."""


class ModelHalves:
    """The two halves of a model, cut at the input of a block.

    Nothing stays on the model between calls. Position ids come from the attention mask, so either padding side works.

    Args:
        model: A causal language model.
        blocks: Its decoder blocks in order.
        first: Number of the first edited block; 0 leaves nothing to share but the embeddings.

    Raises:
        ValueError: If there is no such block.
    """

    def __init__(self, model: PreTrainedModel, blocks: Sequence[nn.Module], first: int) -> None:
        if not 0 <= first < len(blocks):
            raise ValueError(f"`first` expected a block from 0 to {len(blocks) - 1} but got {first}")
        self.model = model
        self.below = list(blocks[:first])
        self.cut = blocks[first]
        self._blocks_give_tuples = False

    @torch.no_grad()
    def lower(self, tokens: TokenBatch) -> Tensor:
        """States that enter the first edited block (B, T, D), without gradients.

        Args:
            tokens: What the model reads.
        """
        states: list[Tensor] = []

        def see_form(_module: nn.Module, _args: Any, output: Any) -> None:
            self._blocks_give_tuples = isinstance(output, tuple)

        def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states.append(entering_tensor(args, kwargs))
            raise _Reached

        with ExitStack() as stack:
            for block in self.below[-1:]:
                stack.callback(block.register_forward_hook(see_form).remove)
            stack.callback(self.cut.register_forward_pre_hook(keep, with_kwargs=True).remove)
            try:
                self._forward(tokens)
            except _Reached:
                return states[0]
        raise RuntimeError("the model's forward never called the block at which it is to be cut")

    def upper(self, tokens: TokenBatch, states: Tensor, keep: Tensor | None = None) -> Tensor:
        """Logits from states that `lower` gave; gradients and interventions act as on the whole model.

        Args:
            tokens: The same tokens.
            states: (B, T, D).
            keep: (B, T) True where logits are wanted; everywhere if left out.

        Returns:
            Logits of the kept positions (N, V) in row order, or of all (B, T, V).
        """

        def put_in(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            passed = entering_tensor(args, kwargs)
            swapped = tuple(states if value is passed else value for value in args)
            return swapped, {name: states if value is passed else value for name, value in kwargs.items()}

        with ExitStack() as stack:
            stack.callback(self.cut.register_forward_pre_hook(put_in, with_kwargs=True, prepend=True).remove)
            for block in self.below:
                stack.enter_context(passing_through(block, as_tuple=self._blocks_give_tuples))
            if keep is not None:
                stack.enter_context(logits_at(self.model, keep))
            return self._forward(tokens).logits

    def _forward(self, tokens: TokenBatch) -> Any:
        check_length(self.model, tokens.input_ids.shape[1], "a text", "the texts, or set data.init_args.max_tokens")
        return self.model(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            position_ids=tokens.position_ids(),
            use_cache=False,
            return_dict=True,
        )


@contextmanager
def passing_through(block: nn.Module, *, as_tuple: bool = False) -> Iterator[None]:
    """Inside the block a decoder layer hands its input on without computing anything.

    Args:
        block: The layer.
        as_tuple: Whether its caller expects a tuple with the states in front, rather than the states.
    """

    def hand_on(*args: Any, **kwargs: Any) -> Any:
        states = entering_tensor(args, kwargs)
        return (states, None) if as_tuple else states

    # Device maps put a forward of their own on the instance; that one comes back afterwards.
    own = block.__dict__.get("forward")
    block.forward = hand_on
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own


@contextmanager
def logits_at(model: PreTrainedModel, keep: Tensor) -> Iterator[None]:
    """Inside the block the output layer sees only some positions, so logits come out as (N, V).

    Args:
        model: A causal language model.
        keep: (B, T) True where logits are wanted.
    """

    def select(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][keep], *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
