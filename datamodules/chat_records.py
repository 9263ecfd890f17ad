"""Conversations and pairs of answers as JSON Lines in the conversational form that TRL reads, checked turn by turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from files.errors import InputError
from files.readers import read_json_lines
from files.turns import read_answers, read_turns
from lm.chat import Chat

STAGE = "stage"
T = TypeVar("T")


@dataclass(frozen=True)
class Conversation:
    """One conversation of a file.

    Attributes:
        row: Its line.
        messages: Its turns.
    """

    row: int
    messages: Chat


@dataclass(frozen=True)
class Pair:
    """One prompt with two answers.

    Attributes:
        row: Its line.
        prompt: The turns before the answer; the last one is the user's.
        chosen: The preferred answer.
        rejected: The other one.
    """

    row: int
    prompt: Chat
    chosen: str
    rejected: str


@dataclass(frozen=True)
class StageTags:
    """Which token says what stage of life a character speaks at.

    Attributes:
        tags: From the `stage` of a record to its token; records without a stage have none.
        new_tokens: Tokens that the model was given, which the tags must be among.
    """

    tags: Mapping[str, str]
    new_tokens: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse tags that the model would read as several pieces.

        Raises:
            InputError: A tag is not among the new tokens.
        """
        for stage, tag in self.tags.items():
            if tag not in self.new_tokens:
                raise InputError(
                    f"the tag of stage {stage!r} is no token of the model",
                    field="--data.init_args.stage_tags",
                    expected=f"one of {list(self.new_tokens)}",
                    got=tag,
                    fix=f"add {tag} to model.init_args.lm.new_tokens",
                )

    def tagged(self, record: Mapping[str, Any], messages: Chat, file: str | Path, row: int) -> Chat:
        """The turns with the tag of the record's stage in front of the system turn.

        >>> StageTags({"early": "<T>"}).tagged({"stage": "early"}, [{"role": "user", "content": "Hi"}], "a.jsonl", 1)
        [{'role': 'system', 'content': '<T>'}, {'role': 'user', 'content': 'Hi'}]

        Raises:
            InputError: The stage has no tag.
        """
        stage = record.get(STAGE)
        if not self.tags or stage is None:
            return messages
        if stage not in self.tags:
            raise InputError(
                "is a stage without a tag", file=file, row=row, field=STAGE, expected=f"one of {list(self.tags)}",
                got=stage, fix="add it to data.init_args.stage_tags",
            )  # fmt: skip
        if messages and messages[0]["role"] == "system":
            first = {"role": "system", "content": f"{self.tags[stage]} {messages[0]['content']}"}
            return [first, *messages[1:]]
        return [{"role": "system", "content": self.tags[stage]}, *messages]


def read_conversations(file: str | Path, tags: StageTags) -> list[Conversation]:
    """Read the conversations of a file: `messages` in every record, and perhaps a `stage`.

    Raises:
        InputError: The file cannot be read, holds none, or the turns of one are out of order.
    """
    check_made(file)
    conversations = []
    for row, record in read_json_lines(file):
        messages = read_turns(record, "messages", "assistant", file=file, row=row)
        conversations.append(Conversation(row, tags.tagged(record, messages, file, row)))
    return _some(conversations, file, '{"messages": [...]}')


def read_pairs(file: str | Path, tags: StageTags) -> list[Pair]:
    """Read the pairs of a file: `prompt`, `chosen` and `rejected` in every record, and perhaps a `stage`.

    Raises:
        InputError: The file cannot be read, holds none, turns are out of order, or both answers of a pair are equal.
    """
    check_made(file)
    pairs = []
    for row, record in read_json_lines(file):
        prompt = read_turns(record, "prompt", "user", file=file, row=row)
        answers = read_answers(record, file=file, row=row)
        pairs.append(Pair(row, tags.tagged(record, prompt, file, row), *answers))
    return _some(pairs, file, '{"prompt": [...], "chosen": [...], "rejected": [...]}')


def check_made(file: str | Path) -> None:
    """Say where files of characters come from, if one is missing.

    Raises:
        InputError: It is.
    """
    if not Path(file).exists():
        raise InputError(
            "does not exist",
            file=file,
            expected="a file such as annotate.py writes",
            fix="run `python annotate.py quickstart` first, which makes those of the quickstarts, or check the path",
        )


def _some(records: list[T], file: str | Path, form: str) -> list[T]:
    if not records:
        raise InputError("holds no record", file=file, expected=f"a line such as {form}", fix="give another file")
    return records
