"""What every data module shares: a tokenizer, loaders that go on exactly where they stopped, and shards per process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import distributed
from torch.utils.data import DataLoader, Subset
from transformers import PreTrainedTokenizerBase

from files.errors import InputError, check_at_least
from lm.loading import LMSpec, load_tokenizer


def rank_and_world() -> tuple[int, int]:
    """Number of this process and of all processes that train together; (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class ResumableLoader:
    """Batches of a data set, able to go on from any batch.

    The order is a function of (seed, epoch). Each process takes every n-th item of it; items that do not share out
    evenly are left out of that epoch. Its state is the epoch and the number of batches taken from it, so a checkpoint
    written between any two batches is enough. Set the Trainer's `use_distributed_sampler` to false beside it.

    Args:
        dataset: The items.
        batch_size: Items per batch and process.
        collate: Makes a batch of items.
        seed: Seed of the order.
        shuffle: Whether the order changes at all.
        drop_last: Whether a last, smaller batch is left out.
        num_workers: Processes that prepare batches; 0 prepares them in this one.
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

    def __len__(self) -> int:
        """Batches per epoch and process."""
        items = len(self.dataset) // rank_and_world()[1]
        return items // self.batch_size if self.drop_last else -(-items // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch, or the next one where nothing is left of it."""
        if self.seen >= len(self):
            self.epoch, self.seen = self.epoch + 1, 0
        for batch in DataLoader(
            self.dataset,  # type: ignore[arg-type]  # a sequence is all that is needed of it
            batch_sampler=self._batches()[self.seen :],
            collate_fn=self.collate,
            num_workers=self.num_workers,
            # A generator of its own: starting workers must not draw from the one that training draws from.
            generator=torch.Generator().manual_seed(self.seed),
        ):
            self.seen += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return {"epoch": self.epoch, "seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.epoch, self.seen = state["epoch"], state["seen"]

    def _batches(self) -> list[list[int]]:
        """This process's items of the epoch, batch by batch."""
        count = len(self.dataset)
        order = list(range(count))
        if self.shuffle:
            Random(f"{self.seed}/{self.epoch}").shuffle(order)
        rank, world = rank_and_world()
        mine = order[: count // world * world][rank::world]
        return [mine[start : start + self.batch_size] for start in range(0, len(mine), self.batch_size)][: len(self)]


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

    def train_loader(self, dataset: Sequence[Any], collate: Callable[[list[Any]], Any]) -> ResumableLoader:
        """Shuffled batches that resume exactly."""
        return ResumableLoader(dataset, self.batch_size, collate, seed=self.seed, num_workers=self.num_workers)

    def eval_loader(self, dataset: Sequence[Any], collate: Callable[[list[Any]], Any]) -> DataLoader:
        """Batches in order, each item once and in one process only."""
        rank, world = rank_and_world()
        # Any sequence will do as a data set.
        shard: Subset[Any] = Subset(dataset, range(rank, len(dataset), world))  # type: ignore[arg-type]
        return DataLoader(
            shard, batch_size=self.batch_size, collate_fn=collate, shuffle=False, num_workers=self.num_workers
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
