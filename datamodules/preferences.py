"""Pairs of answers to one prompt, the preferred one first: from a file in TRL's conversational form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from datamodules.base import ChatDataModule, ResumableLoader, check_sizes
from datamodules.chat_records import Pair, StageTags, read_pairs
from files.errors import InputError
from lm.chat import Chat, EncodedChat, encode_chats
from lm.loading import LMSpec
from lm.preferences import EncodedPair, PreferenceBatch, preference_batch


class PreferenceDataModule(ChatDataModule):
    """Pairs from JSON Lines files, one `{"prompt": [...], "chosen": [...], "rejected": [...]}` a line.

    Args:
        lm: The language model; taken from the model's settings.
        file: Pairs to train on.
        val_file: Pairs to validate on; none where it is left out, beside
            trainer.limit_val_batches 0.
        batch_size: Pairs per batch and process.
        max_tokens: Longest prompt with its answer.
        stage_tags: From the `stage` of a record to a token put before its system turn, as in DialogueDataModule.
        seed: Seed of the order.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.

    Attributes:
        pairs: The encoded pairs to train on (`fit`) and to validate on (`validate`), from `setup` on.
    """

    def __init__(
        self,
        lm: LMSpec,
        file: str,
        val_file: str | None = None,
        batch_size: int = 8,
        max_tokens: int = 1024,
        stage_tags: dict[str, str] | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.files = {"fit": Path(file), "validate": None if val_file is None else Path(val_file)}
        self.max_tokens = max_tokens
        self.tags = StageTags(stage_tags or {}, tuple(lm.new_tokens or ()))
        self.pairs: dict[str, list[EncodedPair]] = {}

    def setup(self, stage: str) -> None:  # noqa: ARG002 - both files are checked before anything is trained
        """Read, check and encode the pairs.

        Raises:
            InputError: An option or a record is faulty.
        """
        if self.pairs:
            return
        check_sizes(batch_size=self.batch_size)
        check_sizes(2, max_tokens=self.max_tokens)
        self.tags.check()
        pairs: dict[str, list[EncodedPair]] = {}
        for part, file in self.files.items():
            before = sum(map(len, pairs.values()))
            pairs[part] = self._encoded(file, before) if file is not None else []
        self.pairs = pairs

    def train_dataloader(self) -> ResumableLoader:
        """Pairs in an order of their own in every epoch."""
        return self.train_loader(self.pairs["fit"], self.collate)

    def val_dataloader(self) -> DataLoader:
        """Every pair once, in as many batches in each process."""
        return self.eval_loader(self.pairs["validate"], self.collate, even=True)

    def collate(self, pairs: Sequence[EncodedPair]) -> PreferenceBatch:
        """A batch of pairs; without any, one whose pair is not counted."""
        if not pairs:
            one = self.collate(self.pairs["validate"][:1])
            return replace(one, numbers=one.numbers[:0])
        pad_id = self.tokenizer.pad_token_id
        return preference_batch(pairs, pad_id if isinstance(pad_id, int) else 0)

    def data_files(self) -> list[Path]:
        """The files read."""
        return [file for file in self.files.values() if file is not None]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the pairs depend on."""
        return {"max_tokens": self.max_tokens, "stage_tags": dict(self.tags.tags)}

    def _encoded(self, file: Path, before: int) -> list[EncodedPair]:
        pairs = read_pairs(file, self.tags)
        encoded = encode_pairs(self.tokenizer, pairs, self.max_tokens, file)
        return [replace(pair, number=before + pair.number) for pair in encoded]


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], max_tokens: int, file: Path
) -> list[EncodedPair]:
    """Pairs as token ids, numbered from 0.

    Args:
        tokenizer: The model's tokenizer.
        pairs: The pairs.
        max_tokens: Longest prompt with its answer.
        file: Named in errors.

    Raises:
        InputError: A prompt with its answer is too long, or the template refuses it.
    """
    chats: list[Chat] = [
        [*pair.prompt, {"role": "assistant", "content": answer}]
        for pair in pairs
        for answer in (pair.chosen, pair.rejected)
    ]
    encoded = [EncodedChat(chat.ids, last_answer(chat.answer_mask)) for chat in encode_chats(tokenizer, chats)]
    for number, chat in enumerate(encoded):
        if len(chat) > max_tokens:
            raise InputError(
                "a prompt with its answer is longer than a row",
                file=file,
                row=pairs[number // 2].row,
                field=("chosen", "rejected")[number % 2],
                expected=f"at most {max_tokens} tokens",
                got=f"{len(chat)} tokens",
                fix="raise data.init_args.max_tokens, or shorten it",
            )
    return [EncodedPair(number, *two) for number, two in enumerate(zip(encoded[::2], encoded[1::2], strict=True))]


def last_answer(mask: Sequence[bool]) -> list[bool]:
    """The mask of the last answer alone; earlier ones belong to the prompt.

    >>> last_answer([False, True, False, True, True])
    [False, False, False, True, True]
    """
    end = len(mask) - list(mask)[::-1].index(True) if True in mask else 0
    start = end
    while start and mask[start - 1]:
        start -= 1
    return [start <= place < end for place in range(len(mask))]
