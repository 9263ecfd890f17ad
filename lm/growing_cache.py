"""The states of earlier tokens, kept with room for later ones, so that a new token does not copy all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

# Tokens that there is room for beyond those that have come: states are copied once for so many tokens.
ROOM = 32


class GrowingLayer(DynamicLayer):
    """The states of one layer, at the front of tensors that are longer than they are.

    What it returns are views, which hold what `DynamicLayer` returns, number by number. For passes without gradients.
    """

    keys: Tensor
    values: Tensor
    _space: tuple[Tensor, Tensor] | None = None

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - the caller's
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Put the states of new tokens behind those that are there.

        Args:
            key_states: (B, H, T, head_dim).
            value_states: The same.
            args: Nothing that this layer needs.
            kwargs: The same.

        Returns:
            All keys and all values so far.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        there = self.get_seq_length()
        end = there + key_states.shape[-2]
        space = self._space
        # The views may have been replaced from outside: rows dropped, or put into another order.
        if space is None or end > space[0].shape[-2] or self.keys.data_ptr() != space[0].data_ptr():
            space = self._space = (
                self._longer(self.keys, key_states, end),
                self._longer(self.values, value_states, end),
            )
        for whole, new in zip(space, (key_states, value_states), strict=True):
            whole[..., there:end, :] = new
        self.keys, self.values = (whole[..., :end, :] for whole in space)
        return self.keys, self.values

    def reset(self) -> None:
        """Begin anew."""
        self._space = None
        super().reset()

    @staticmethod
    def _longer(there: Tensor, new: Tensor, end: int) -> Tensor:
        """A copy of some states (none, where nothing has come yet) with room behind them."""
        longer = torch.empty((*new.shape[:-2], end + ROOM, new.shape[-1]), dtype=new.dtype, device=new.device)
        if there.numel():
            longer[..., : there.shape[-2], :] = there
        return longer


def growing_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache for a model's generation; layers with a sliding window keep the library's own.

    Args:
        model: The model.
    """
    cache = DynamicCache(config=model.config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
