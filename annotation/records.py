"""What annotation reads and writes: passages, questions, conversations and preference pairs, one JSON object per line.

Conversations and pairs are in the conversational form that TRL reads: `{"messages": [...]}` and `{"prompt": [...],
"chosen": [...], "rejected": [...]}` with messages of a `role` and a `content`. The further fields say who speaks at
which stage of life, where it comes from, and which backend wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from files.atomic import write_lines
from files.errors import InputError
from files.readers import read_json_lines
from files.turns import Message, read_answers, read_turns

Pattern = Literal["ordinary", "misleading", "opinion"]
Source = Literal["knowledge", "style"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True)
class Passage:
    """A paragraph about a character or in the character's own words.

    Attributes:
        id: Its name, unique in the file.
        character: Whom it is about.
        stage: The stage of life it belongs to; None where there are no stages.
        source: Whether it tells what is known or shows a style.
        tags: What stood in brackets before it.
        text: The paragraph without them.
    """

    id: str
    character: str
    stage: str | None
    source: Source
    tags: list[str]
    text: str


@dataclass(frozen=True)
class Question:
    """Something to say to a character.

    Attributes:
        id: Its name, unique in the file.
        character: To whom it is said.
        stage: At which stage of life.
        pattern: An ordinary question, one with a false premise, or a paragraph with an opinion.
        passage: The passage it was made from.
        question: The words.
        backend: Who wrote it.
    """

    id: str
    character: str
    stage: str | None
    pattern: Pattern
    passage: str
    question: str
    backend: str


@dataclass(frozen=True)
class Dialogue:
    """A conversation, trained on as it stands.

    Attributes:
        id: Its name.
        messages: The turns: perhaps one of the system, then user and assistant in turn.
        backend: Who wrote the answers.
        character: Who speaks as the assistant; None in general dialogue.
        stage: At which stage of life.
        pattern: What kind of question; None in general dialogue.
        passage: The passage that the question was made from.
        analysis: What was thought before the answer, where that was asked for; it is not among the messages.
        knowledge: Passages of knowledge that the answer was written from.
        style: Passages of style that it was written from.
    """

    id: str
    messages: list[Message]
    backend: str
    character: str | None = None
    stage: str | None = None
    pattern: Pattern | None = None
    passage: str | None = None
    analysis: str | None = None
    knowledge: list[str] = field(default_factory=list)
    style: list[str] = field(default_factory=list)

    @property
    def question(self) -> str:
        """What the user said last."""
        return self.messages[-2]["content"]

    @property
    def answer(self) -> str:
        """What the assistant said last."""
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, the preferred one and another.

    Attributes:
        id: Its name.
        prompt: The turns up to the question.
        chosen: The preferred answer, as one message.
        rejected: The other one, never equal to it.
        backend: Who wrote the rejected answer; the chosen one's is that of its dialogue.
        rejected_from: `other_character`, `other_stage` or `without_character`.
        character: Who speaks.
        stage: At which stage of life.
        pattern: What kind of question.
    """

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    backend: str
    rejected_from: str
    character: str | None = None
    stage: str | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True)
class Prompt:
    """A question without an answer, for training on rewards.

    Attributes:
        id: Its name.
        prompt: The turns up to the question.
        backend: Who wrote the question.
        character: To whom it is said.
        stage: At which stage of life.
        pattern: What kind of question.
        passage: The passage it was made from.
    """

    id: str
    prompt: list[Message]
    backend: str
    character: str | None = None
    stage: str | None = None
    pattern: Pattern | None = None
    passage: str | None = None


R = TypeVar("R", Passage, Question, Dialogue, Pair, Prompt)
# How the values of a field are checked: its annotation, and in words.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "str | None": ((str, type(None)), "text or null"),
    "Source": ((str,), " or ".join(SOURCES)),
    "Pattern": ((str,), ", ".join(PATTERNS)),
    "Pattern | None": ((str, type(None)), f"{', '.join(PATTERNS)} or null"),
    "list[str]": ((list,), "a list of texts"),
    "list[Message]": ((list,), "a list of messages"),
}


def write_records(file: str | Path, records: Iterable[Passage | Question | Dialogue | Pair | Prompt]) -> int:
    """Write records one per line as they come; the file appears when all of them are there.

    Returns:
        How many there were.

    Raises:
        InputError: The file cannot be written.
    """
    return write_lines(file, (json.dumps(asdict(record), ensure_ascii=False) for record in records))


def read_records(file: str | Path, kind: type[R], fix: str = "check the path") -> Iterator[R]:
    """Read records one by one; unknown fields are passed over.

    Args:
        file: The file.
        kind: What its lines hold.
        fix: What to do where the file is missing or empty, such as which step makes it.

    Raises:
        InputError: The file cannot be read or holds no record, a field is missing or of the wrong kind, turns are out
            of order, or both answers of a pair are equal.
    """
    none = True
    if not Path(file).exists():
        raise InputError("does not exist", file=file, expected="a file of records, one JSON object per line", fix=fix)
    for row, content in read_json_lines(file):
        none = False
        yield _record(content, kind, file, row)
    if none:
        raise InputError("holds no record", file=file, expected="one JSON object per line", fix=fix)


def _record(content: Mapping[str, Any], kind: type[R], file: str | Path, row: int) -> R:
    values: dict[str, Any] = {}
    for one in fields(kind):
        types, words = _KINDS[str(one.type)]
        if one.name not in content:
            if str(one.type).endswith("None") or one.name in ("knowledge", "style"):
                if one.default is MISSING and one.default_factory is MISSING:
                    values[one.name] = None
                continue
            raise InputError("is missing", file=file, row=row, field=one.name, expected=words, got=sorted(content))
        value: Any = content[one.name]
        choices = PATTERNS if "Pattern" in str(one.type) else SOURCES if "Source" in str(one.type) else None
        if (
            not isinstance(value, types)
            or (choices and value is not None and value not in choices)
            or (str(one.type) == "str" and not str(value).strip())
            or (str(one.type) == "list[str]" and not all(isinstance(item, str) for item in list(content[one.name])))
        ):
            raise InputError("is not acceptable", file=file, row=row, field=one.name, expected=words, got=value)
        values[one.name] = value
    if kind is Dialogue:
        values["messages"] = read_turns(values, "messages", "assistant", file=file, row=row)
    if kind in (Pair, Prompt):
        values["prompt"] = read_turns(values, "prompt", "user", file=file, row=row)
    if kind is Pair:
        read_answers(values, file=file, row=row)
    return kind(**values)
