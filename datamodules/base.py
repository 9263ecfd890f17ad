"""What every data module shares: a tokenizer, loaders that go on exactly where they stopped, and shards per process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import distributed
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from datamodules.workers import begin_worker
from files.errors import InputError, check_at_least
from lm.loading import LMSpec, load_tokenizer


def rank_and_world() -> tuple[int, int]:
    """Number of this process and of all processes that train together; (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def balanced_shares(lengths: Sequence[int], shares: int) -> list[list[int]]:
    """Items dealt out so that the shares are about as long: the longest first, each to the share that is shortest yet.

    Args:
        lengths: Length of each item.
        shares: Number of shares.

    Returns:
        The items of each share, in order.

    >>> balanced_shares([9, 1, 5, 4, 1], 2)
    [[0, 1], [2, 3, 4]]
    """
    dealt: list[list[int]] = [[] for _ in range(shares)]
    totals = [0] * shares
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        least = min(range(shares), key=lambda share: (totals[share], share))
        dealt[least].append(item)
        totals[least] += lengths[item]
    return [sorted(share) for share in dealt]


class ResumableLoader:
    """Batches of a data set, able to go on from any batch.

    The order is a function of (seed, epoch). Each process takes every n-th item of it; items that do not share out
    evenly are left out of that epoch. Its state is the epoch and the number of batches and items taken from it, so a
    checkpoint written between any two batches is enough, and another number of processes goes on with the items that
    are left. Set the Trainer's `use_distributed_sampler` to false beside it.

    Args:
        dataset: The items.
        batch_size: Items per batch and process.
        collate: Makes a batch of items.
        seed: Seed of the order.
        shuffle: Whether the order changes at all.
        drop_last: Whether a last, smaller batch is left out.
        num_workers: Processes that prepare batches; 0 prepares them in this one.

    Attributes:
        taken: The items of the batch that was taken last.
    """

    def __init__(
        self,
        dataset: Sequence[Any],
        batch_size: int,
        collate: Callable[[list[Any]], Any],
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"expected batch_size of at least 1, got {batch_size}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.collate = collate
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.epoch = 0
        self.seen = 0
        self.items = 0
        self.taken: list[int] = []

    def __len__(self) -> int:
        """Batches of this epoch and process: those taken, by however many processes, and those left."""
        left = max(0, len(self.dataset) - self.items) // rank_and_world()[1]
        return self.seen + (left // self.batch_size if self.drop_last else -(-left // self.batch_size))

    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch, or the next one where nothing is left of it."""
        if self.seen >= len(self):
            self.epoch, self.seen, self.items = self.epoch + 1, 0, 0
        batches = self._batches()
        loader: DataLoader[Any] = DataLoader(
            self.dataset,  # type: ignore[arg-type]  # a sequence is all that is needed of it
            batch_sampler=batches,
            collate_fn=self.collate,
            num_workers=self.num_workers,
            worker_init_fn=begin_worker,
            # A generator of its own: starting workers must not draw from the one that training draws from.
            generator=torch.Generator().manual_seed(self.seed),
        )
        for self.taken, batch in zip(batches, loader, strict=True):
            self.seen, self.items = self.seen + 1, self.items + self.batch_size * rank_and_world()[1]
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return {"epoch": self.epoch, "seen": self.seen, "items": self.items}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.epoch, self.seen, self.items = state["epoch"], state["seen"], state["items"]

    def _batches(self) -> list[list[int]]:
        """What is left of this process's items of the epoch, batch by batch."""
        order = list(range(len(self.dataset)))
        if self.shuffle:
            Random(f"{self.seed}/{self.epoch}").shuffle(order)
        rank, world = rank_and_world()
        left = order[self.items :]
        mine = left[: len(left) // world * world][rank::world]
        count = len(self) - self.seen
        return [mine[start : start + self.batch_size] for start in range(0, len(mine), self.batch_size)][:count]


class ChatDataModule(LightningDataModule):
    """Base of the data modules: knows the tokenizer of the model and makes loaders.

    Args:
        lm: The language model that the data are made ready for; `train.py` takes it from the model's settings.
        batch_size: Items per batch and process.
        seed: Seed of the order of the training items.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.
    """

    def __init__(self, lm: LMSpec, batch_size: int = 1, seed: int = 0, num_workers: int = 0) -> None:
        super().__init__()
        self.lm_spec = lm
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the model.

        Raises:
            InputError: It cannot be loaded.
        """
        return load_tokenizer(self.lm_spec)

    def names_of(self, items: Sequence[int]) -> list[str]:
        """What messages call items of the training data."""
        return [f"record {item}" for item in items]

    def train_loader(self, dataset: Sequence[Any], collate: Callable[[list[Any]], Any]) -> ResumableLoader:
        """Shuffled batches that resume exactly."""
        return ResumableLoader(dataset, self.batch_size, collate, seed=self.seed, num_workers=self.num_workers)

    def eval_loader(
        self,
        dataset: Sequence[Any],
        collate: Callable[[list[Any]], Any],
        even: bool = False,
        lengths: Sequence[int] | None = None,
    ) -> DataLoader:
        """Batches in order, each item once and in one process only.

        Args:
            dataset: The items.
            collate: Makes a batch of items.
            even: Give all processes the same number of batches, the last of which may be of no items, for models that
                they all must pass through equally often.
            lengths: How long each item is, so that all processes get about as much to read; taken in turn without it.
        """
        rank, world = rank_and_world()
        mine: Sequence[int] = range(rank, len(dataset), world)
        if lengths is not None and world > 1:
            mine = balanced_shares(lengths, world)[rank]
        batches = [list(mine[start : start + self.batch_size]) for start in range(0, len(mine), self.batch_size)]
        most = -(-len(range(0, len(dataset), world)) // self.batch_size)
        if even and len(batches) < most:
            batches.append([])
        return DataLoader(
            dataset,  # type: ignore[arg-type]  # any sequence will do as a data set
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=self.num_workers,
            worker_init_fn=begin_worker,
        )


def check_sizes(least: int = 1, /, **given: int | None) -> None:
    """Refuse options of a data module that are too small.

    Args:
        least: The smallest value that means something.
        given: Options by name; None, where it is allowed, stands for no limit.

    Raises:
        InputError: Naming the option.

    Example:
        >>> check_sizes(batch_size=4, limit=None)
    """
    for name, value in given.items():
        if value is not None:
            check_at_least(f"--data.init_args.{name}", value, least)


def bad_option(option: str, problem: str, expected: str, got: object, fix: str) -> InputError:
    """The error about an option of a data module.

    Args:
        option: Its name.
        problem: What is wrong with it.
        expected: What would have been right.
        got: What was given.
        fix: The next step.
    """
    return InputError(problem, field=f"--data.init_args.{option}", expected=expected, got=got, fix=fix)
