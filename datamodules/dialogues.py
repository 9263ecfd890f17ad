"""Conversations of a character: its turns are learnt, long conversations are cut between turns, short ones packed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, ResumableLoader, check_sizes
from datamodules.chat_records import Conversation, StageTags, read_conversations
from files.errors import InputError
from lm.chat import EncodedChat
from lm.loading import LMSpec
from lm.packing import PackedBatch, Targets, nothing_of, pack, packed_batch
from lm.turns import TurnTooLongError, split_at_turns

Row = list[EncodedChat]


class DialogueDataModule(ChatDataModule):
    """Conversations from JSON Lines files, one `{"messages": [...]}` a line, perhaps with a `stage`.

    Args:
        lm: The language model; taken from the model's settings.
        file: Conversations to train on.
        val_file: Conversations to validate on; none where it is left out, beside
            trainer.limit_val_batches 0.
        batch_size: Rows per batch and process.
        max_tokens: Longest row; a longer conversation goes on in the next, with its system turn, from a whole turn on.
        packing: Put several conversations into one row, none of which sees another; else each has a row of its own.
        stage_tags: From the `stage` of a record to a token put before its system turn, such as early: <TIME-I>; the
            tokens are to be named in model.init_args.lm.new_tokens.
        seed: Seed of the order.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.
    """

    def __init__(
        self,
        lm: LMSpec,
        file: str,
        val_file: str | None = None,
        batch_size: int = 8,
        max_tokens: int = 1024,
        packing: bool = True,
        stage_tags: dict[str, str] | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.files = {"fit": Path(file), "validate": None if val_file is None else Path(val_file)}
        self.max_tokens = max_tokens
        self.packing = packing
        self.tags = StageTags(stage_tags or {}, tuple(lm.new_tokens or ()))
        self.rows: dict[str, list[Row]] = {}
        self.lines: list[list[int]] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 - both files are checked before anything is trained
        """Read, check, cut and pack the conversations.

        Raises:
            InputError: An option or a record is faulty.
        """
        if self.rows:
            return
        check_sizes(batch_size=self.batch_size)
        check_sizes(2, max_tokens=self.max_tokens)
        self.tags.check()
        self.rows = {part: self._rows(file) if file is not None else [] for part, file in self.files.items()}

    def train_dataloader(self) -> ResumableLoader:
        """Rows in an order of their own in every epoch."""
        return self.train_loader(self.rows["fit"], self.collate)

    def names_of(self, items: Sequence[int]) -> list[str]:
        """The lines of the file that rows were made of."""
        return [f"line {line}" for item in items for line in self.lines[item]]

    def val_dataloader(self) -> DataLoader:
        """Every row once, in as many batches in each process."""
        return self.eval_loader(self.rows["validate"], self.collate, even=True)

    def collate(self, rows: Sequence[Row]) -> PackedBatch:
        """A batch of rows, padded on the right to the longest; without rows, one of which nothing is counted."""
        if not rows:
            return nothing_of(self.collate(self.rows["validate"][:1]))
        width = max(sum(map(len, row)) for row in rows)
        answers = sum(sum(chat.answer_mask[1:]) for row in rows for chat in row)
        everything = sum(len(chat) - 1 for row in rows for chat in row)
        usual: dict[Targets, float] = {"all": float(everything), "assistant": float(answers)}
        pad_id = self.tokenizer.pad_token_id
        batch = packed_batch(rows, width, pad_id if isinstance(pad_id, int) else 0, usual)
        batch.of_its_own = True
        if all(len(row) == 1 for row in rows):
            # Positions that run on through the padding need no mask: what is on the right is never seen.
            batch.position_ids = torch.arange(width).expand_as(batch.input_ids)
        return batch

    def data_files(self) -> list[Path]:
        """The files read."""
        return [file for file in self.files.values() if file is not None]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the rows depend on."""
        return {"max_tokens": self.max_tokens, "packing": self.packing, "stage_tags": dict(self.tags.tags)}

    def _rows(self, file: Path) -> list[Row]:
        cut = [(one.row, chat) for one in read_conversations(file, self.tags) for chat in self._encoded(one, file)]
        chats = [chat for _, chat in cut]
        packed = pack([*map(len, chats)], [self.max_tokens]) if self.packing else [(0, [n]) for n in range(len(chats))]
        if file == self.files["fit"]:
            self.lines = [[cut[item][0] for item in items] for _, items in packed]
        return [[chats[item] for item in items] for _, items in packed]

    def _encoded(self, one: Conversation, file: Path) -> list[EncodedChat]:
        try:
            return split_at_turns(self.tokenizer, one.messages, self.max_tokens)
        except TurnTooLongError as error:
            raise InputError(
                "one turn with its answer is longer than a row",
                file=file,
                row=one.row,
                field=f"messages[{error.message}]",
                expected=f"at most {self.max_tokens} tokens, with the system turn",
                got=f"{error.tokens} tokens",
                fix="raise data.init_args.max_tokens, or shorten the turn",
            ) from error
        except InputError as error:
            if error.file is None:
                error.file, error.row = file, one.row
            raise
