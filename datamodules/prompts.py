"""Prompts to be answered, from JSON Lines files: for training on rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.base import ChatDataModule, ResumableLoader, check_sizes
from datamodules.chat_records import StageTags, check_made
from files.errors import InputError
from files.readers import read_json_lines, require
from files.turns import read_turns
from lm.chat import Chat
from lm.loading import LMSpec
from lm.prompt_batch import PromptBatch

Prompt = tuple[Chat, dict[str, Any]]


class PromptDataModule(ChatDataModule):
    """Prompts from a JSON Lines file.

    Every record has a `prompt`, or `messages`, whose last answer is left out, or a `question` as text (as the files of
    PersonalityBench). All other keys of a record are handed to the rewards.

    Args:
        lm: The language model; taken from the model's settings.
        file: The prompts.
        batch_size: Prompts per batch and process.
        stage_tags: From the `stage` of a record to a token put before its system turn, as in DialogueDataModule.
        seed: Seed of the order.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.
    """

    def __init__(
        self,
        lm: LMSpec,
        file: str,
        batch_size: int = 32,
        stage_tags: dict[str, str] | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.file = Path(file)
        self.tags = StageTags(stage_tags or {}, tuple(lm.new_tokens or ()))
        self.prompts: list[Prompt] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 - there is one stage only
        """Read and check the prompts.

        Raises:
            InputError: An option or a record is faulty.
        """
        if self.prompts:
            return
        check_sizes(batch_size=self.batch_size)
        self.tags.check()
        check_made(self.file)
        for row, record in read_json_lines(self.file):
            key, chat = read_prompt(record, self.file, row)
            known = {name: value for name, value in record.items() if name != key}
            self.prompts.append((self.tags.tagged(record, chat, self.file, row), known))
        if not self.prompts:
            raise InputError(
                "holds no prompt",
                file=self.file,
                expected='a line such as {"prompt": [...]}',
                fix="give another file; `python annotate.py prompt` writes one",
            )

    def train_dataloader(self) -> ResumableLoader:
        """Prompts in an order of their own in every epoch."""
        return prompt_loader(self.prompts, self.batch_size, self.seed, self.num_workers)


def read_prompt(record: Mapping[str, Any], file: str | Path, row: int) -> tuple[str, Chat]:
    """What is asked in a record, and under which key.

    Args:
        record: What was read.
        file: Named in errors.
        row: Named in errors.

    Raises:
        InputError: There is nothing, or turns are out of order.

    >>> read_prompt({"question": "Who are you?"}, "a.jsonl", 1)
    ('question', [{'role': 'user', 'content': 'Who are you?'}])
    """
    if "prompt" in record:
        return "prompt", read_turns(record, "prompt", "user", file=file, row=row)
    if "messages" in record or "question" not in record:
        return "messages", read_turns(record, "messages", "assistant", file=file, row=row)[:-1]
    return "question", [{"role": "user", "content": require(record, "question", str, file=file, row=row)}]


def prompt_batch(prompts: Sequence[Prompt]) -> PromptBatch:
    """A batch of prompts with what is known of each.

    >>> batch = prompt_batch([([{"role": "user", "content": "Hi"}], {"answer": 4})])
    >>> len(batch), batch.records[0]["answer"], len(batch.repeated(3))
    (1, 4, 3)
    """
    return PromptBatch(tuple(chat for chat, _ in prompts), tuple(record for _, record in prompts))


def prompt_loader(prompts: Sequence[Prompt], batch_size: int, seed: int, num_workers: int) -> ResumableLoader:
    """Batches of one size, so that every batch takes as many optimizer steps.

    Args:
        prompts: The prompts; what is left of them at the end of an epoch is left out of it.
        batch_size: Prompts per batch and process; fewer where there are not so many.
        seed: Seed of the order.
        num_workers: Processes that prepare batches.
    """
    size = min(batch_size, len(prompts))
    return ResumableLoader(prompts, size, prompt_batch, seed=seed, drop_last=True, num_workers=num_workers)
