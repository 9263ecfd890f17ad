"""Bringing together what the processes of a run have worked out, each on its share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, distributed
from torch.distributed.tensor import DTensor, distribute_tensor

T = TypeVar("T")


@contextmanager
def built_whole() -> Iterator[None]:
    """Inside the block, DeepSpeed's ZeRO-3 leaves what is built whole; it is shared out when training starts.

    Weights are read into a model that stands already, which fails once each process holds a part of it.

    Example:
        >>> with built_whole():
        ...     pass
    """
    zero = sys.modules.get("deepspeed.runtime.zero.partition_parameters")
    if zero is None:
        yield
        return
    zero.shutdown_init_context()
    try:
        yield
    finally:
        zero.restore_init_context()


def gathered(items: list[T]) -> list[T]:
    """The items of all processes, in the order of the processes; every one of them must call this.

    Example:
        >>> gathered([1, 2])
        [1, 2]
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return list(items)
    shares: list[list[T]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(shares, items)
    return [item for share in shares for item in share]


def whole(value: Tensor) -> Tensor:
    """A tensor that processes share, put together; every one of them must call this. Any other is handed back.

    Example:
        >>> whole(Tensor([1, 1]))
        tensor([1., 1.])
    """
    return value.full_tensor() if isinstance(value, DTensor) else value


def averaged(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes; every one of them must call this.

    Example:
        >>> averaged(Tensor([1, 1]))
        tensor([1., 1.])
    """
    if not (distributed.is_available() and distributed.is_initialized()) or isinstance(value, DTensor):
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def weight_in_mean(count: int) -> int:
    """What Lightning is told as the size of a batch of so many, where it takes a mean over all processes.

    It averages the sizes over the processes as whole numbers, rounding down, and would divide by too little where they
    differ; multiples of the number of processes have whole means.

    Example:
        >>> weight_in_mean(3)
        3
    """
    return count * (distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1)


def share_of(value: Any, like: Any) -> Any:
    """What a process holds of a whole tensor.

    Args:
        value: The whole.
        like: The tensor it belongs to; a value for an ordinary one is handed back as it is.
    """
    if not isinstance(like, DTensor) or not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    # Every process has read the whole, so none is sent anything.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
