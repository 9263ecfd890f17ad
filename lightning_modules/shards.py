"""Bringing together what the processes of a run have worked out, each on its share."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

T = TypeVar("T")


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
