"""The states of earlier tokens, kept with room for later ones, so that a new token does not copy all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

# Tokens that generation has room for beyond those that have come: states are copied once for so many tokens.
ROOM = 32


class GrowingLayer(DynamicLayer):
    """The states of one layer, at the front of tensors that may be longer than they are.

    What it returns holds what `DynamicLayer` returns, number by number, and where there is room it is a view. States
    that it was begun with, or that came first, are not copied until more come. With gradients it does as the library.

    Args:
        room: Tokens that there is room for beyond those that have come, whenever states are copied.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, room: int = ROOM) -> None:
        super().__init__()
        self.room = room
        self._space: tuple[Tensor, Tensor] | None = None

    @classmethod
    def holding(cls, keys: Tensor, values: Tensor) -> GrowingLayer:
        """A layer that begins with states (B, H, T, head_dim), for a single pass after them."""
        layer = cls(room=0)
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        return layer

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,
        **kwargs: Any,
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
        if torch.is_grad_enabled():
            return super().update(key_states, value_states, *args, **kwargs)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        there = self.get_seq_length()
        if not there:
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        end = there + key_states.shape[-2]
        space = self._space
        # The views may have been replaced from outside: rows dropped, or put into another order.
        if space is None or end > space[0].shape[-2] or self.keys.data_ptr() != space[0].data_ptr():
            longer = end + self.room
            space = self._longer(self.keys, key_states, longer), self._longer(self.values, value_states, longer)
            self._space = space
        for whole, new in zip(space, (key_states, value_states), strict=True):
            whole[..., there:end, :] = new
        self.keys, self.values = (whole[..., :end, :] for whole in space)
        return self.keys, self.values

    def reset(self) -> None:
        """Begin anew."""
        self._space = None
        super().reset()

    @staticmethod
    def _longer(there: Tensor, new: Tensor, length: int) -> Tensor:
        """A copy of some states at the front of a tensor of so many tokens."""
        longer = torch.empty((*new.shape[:-2], length, new.shape[-1]), dtype=new.dtype, device=new.device)
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


def cache_after(states: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A cache for one pass after some states, which are not copied before the pass adds its own.

    Without a configuration it keeps every token of layers with a sliding window too, so that it can be cut anywhere.

    Args:
        states: Keys and values (B, H, T, head_dim) of each layer; nothing for a pass that begins anew.
    """
    cache = DynamicCache()
    if states:
        cache.layers = [GrowingLayer.holding(keys, values) for keys, values in states]
    return cache
