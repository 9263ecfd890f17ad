"""Chats for supervised fine-tuning, packed into rows: the corpus of the built-in model, or a file."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, rank_and_world
from datamodules.windows import ChatSource, FileChats, Onward, OrganismChats, Window, Windows, as_it_is
from datamodules.workers import begin_worker
from files.errors import InputError
from lm.loading import LMSpec
from lm.packing import PackedBatch, nothing_of


class CorpusLoader:
    """Batches of an endless stream, cut into epochs of a given length, able to go on from any of them.

    The processes take the stream's batches in turn, so its place is the same number for all of them, whichever of them
    keeps it, and another number of processes goes on from it without reading a batch twice or leaving one out. Each
    process prepares every window for that; a window of a process's own would save it the work, but windows differ in
    length, and a place in one says nothing about the others.

    Args:
        windows: The stream.
        batches: Batches per epoch and process.
        num_workers: Processes that prepare windows (one is enough); 0 prepares them in this one.
    """

    def __init__(self, windows: Windows, batches: int, num_workers: int = 1) -> None:
        self.windows = windows
        self.batches = batches
        self.num_workers = num_workers
        self.epoch = 0
        self.seen = 0
        self.turn = 0
        self.taken = 0

    def __len__(self) -> int:
        """Batches per epoch and process."""
        return self.batches

    def __iter__(self) -> Iterator[PackedBatch]:
        """The rest of the epoch, or the next one where nothing is left of it."""
        if self.seen >= self.batches:
            self.epoch, self.seen = self.epoch + 1, 0
        rank, world = rank_and_world()
        for window in self._stream():
            while self.taken + rank < len(window):
                if self.seen >= self.batches:
                    return
                self.seen, self.taken = self.seen + 1, self.taken + world
                yield window.batch(self.taken - world + rank)
            # What the processes take next may lie beyond the window, further for some than for others.
            self.turn, self.taken = self.turn + 1, self.taken - len(window)

    def state_dict(self) -> dict[str, int]:
        """Where it stands: `taken` batches behind the start of window number `turn`."""
        return {"epoch": self.epoch, "seen": self.seen, "turn": self.turn, "taken": self.taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.epoch, self.seen = state["epoch"], state["seen"]
        self.turn, self.taken = state["turn"], state["taken"]

    def _stream(self) -> Iterator[Window]:
        """The windows from the current one on, the next one prepared while this one is used."""
        return iter(
            DataLoader(
                self.windows,
                batch_size=None,
                sampler=Onward(self.turn),
                collate_fn=as_it_is,
                num_workers=self.num_workers,
                prefetch_factor=1 if self.num_workers else None,
                worker_init_fn=begin_worker,
                generator=torch.Generator().manual_seed(0),
            )
        )


class CorpusDataModule(ChatDataModule):
    """Streams chats, tokenises them and packs them into rows without padding to speak of.

    A chat goes into the narrowest row it fits, and short chats fill what is left, so the few long ones come in batches
    of their own and attention over short ones stays cheap.

    Args:
        lm: The language model; `train.py` takes it from the model's settings.
        file: A JSONL file of chats (`{"messages": [{"role": ..., "content": ...}, ...]}` per line); the corpus of the
            built-in model where it is left out.
        batches: Training batches per epoch and process. With a file it is worth setting to what one pass takes.
        tokens_per_batch: Tokens of a batch, padding included; a row wider than this is a batch of its own.
        widths: Widths that a row may have, rising; longer chats are cut to the last.
        window: Chats that are packed together; more pack closer and make the first batch wait longer.
        val_chats: Chats in the validation set: held-out ones of the built-in corpus, or a file's last ones, which are
            then not trained on; 0 for none.
        seed: Seed of the corpus and of every order.
        first_chat: Number of the built-in corpus's chat to begin with: what an earlier run left off at.
        num_workers: 1 prepares the next window in a process of its own, 0 in the training process.
    """

    def __init__(
        self,
        lm: LMSpec,
        file: str | None = None,
        batches: int = 1000,
        tokens_per_batch: int = 2048,
        widths: list[int] | None = None,
        window: int = 4096,
        val_chats: int = 0,
        seed: int = 0,
        first_chat: int = 0,
        num_workers: int = 1,
    ) -> None:
        super().__init__(lm, seed=seed, num_workers=num_workers)
        self.widths = widths or [256, 512, 1024, 2048, 4096]
        if self.widths != sorted(set(self.widths)) or self.widths[0] < 2:
            raise InputError("row widths must rise", field="data.init_args.widths", expected="2 or more", got=widths)
        for name, value in (("batches", batches), ("tokens_per_batch", tokens_per_batch), ("window", window)):
            if value < 1:
                raise InputError("too small", field=f"data.init_args.{name}", expected="at least 1", got=value)
        self.file = file
        self.batches = batches
        self.tokens_per_batch = tokens_per_batch
        self.window = window
        self.val_chats = val_chats
        self.first_chat = first_chat

    def setup(self, stage: str) -> None:
        """Read the file, if there is one, and pack the validation set.

        Raises:
            InputError: The file cannot be read, or a line of it holds no chat.
        """
        source: ChatSource = OrganismChats(self.seed, first=self.first_chat)
        held_out: ChatSource = OrganismChats(self.seed, "held_out")
        if self.file is not None:
            source, held_out = _split_file(self.file, self.seed, self.val_chats)
        self.train_windows = self._windows(source, self.window)
        self.val_batches: list[PackedBatch] = []
        if self.val_chats and stage in ("fit", "validate"):
            window = self._windows(held_out, self.val_chats)[0]
            self.val_batches = [window.batch(number) for number in range(len(window))]

    def train_dataloader(self) -> CorpusLoader:
        """The endless stream, `batches` at a time."""
        return CorpusLoader(self.train_windows, self.batches, self.num_workers)

    def val_dataloader(self) -> DataLoader[PackedBatch]:
        """This process's share of the packed validation set; all processes have the same number of batches.

        Where they do not share out evenly, a process repeats a batch of which nothing is counted: all of them pass
        through a sharded model, and log, equally often.
        """
        rank, world = rank_and_world()
        share = self.val_batches[rank::world]
        if len(share) * world < len(self.val_batches):
            share = [*share, nothing_of(self.val_batches[0])]
        return DataLoader(share, batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]  # a list will do

    def _windows(self, source: ChatSource, size: int) -> Windows:
        return Windows(
            source,
            self.tokenizer,
            size=size,
            widths=self.widths,
            tokens_per_batch=self.tokens_per_batch,
            seed=self.seed,
        )


def _split_file(file: str, seed: int, val_chats: int) -> tuple[FileChats, FileChats]:
    """The chats of a file to train on, and its last ones to validate on."""
    train, held_out = FileChats(file, seed), FileChats(file, seed)
    if val_chats >= len(train):
        raise InputError(
            "more validation chats than chats",
            file=file,
            field="data.init_args.val_chats",
            expected=f"fewer than {len(train)}",
            got=val_chats,
        )
    if val_chats:
        train.chats, held_out.chats = train.chats[:-val_chats], held_out.chats[-val_chats:]
    return train, held_out
