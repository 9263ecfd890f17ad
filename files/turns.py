"""Conversations in records: turns in order, and pairs of answers that differ, every fault named with its place.

Messages are in the conversational form that TRL reads, `{"role": ..., "content": ...}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from files.errors import InputError
from files.readers import require

Message = dict[str, str]
Speaker = Literal["user", "assistant"]


def read_turns(
    record: Mapping[str, Any], field: str, last: Speaker, *, file: str | Path, row: int | str
) -> list[Message]:
    """The turns of a record: perhaps one of the system, then the user's and the assistant's in turn.

    Args:
        record: What was read.
        field: The key of the list of messages.
        last: Whose turn must be the last.
        file: Named in errors.
        row: Named in errors.

    Returns:
        The turns, with nothing but role and content.

    Raises:
        InputError: There is none, one has no text, or they are out of order.

    >>> read_turns({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages", "user", file="a.jsonl", row=1)
    Traceback (most recent call last):
    ...
    files.errors.InputError: a.jsonl, row 1, field 'messages[0].role': roles are out of order
      expected: system or user
      got: 'assistant'
      next step: order the turns: perhaps one of the system, then user and assistant in turn
    """
    turns: list[Message] = []
    for number, message in enumerate(require(record, field, list, file=file, row=row)):
        place = f"{field}[{number}]"
        if not isinstance(message, Mapping):
            raise InputError("is not a message", file=file, row=row, field=place, expected="an object", got=message)
        role, wanted = message.get("role"), _next_roles(turns)
        if role not in wanted:
            raise InputError(
                "roles are out of order",
                file=file,
                row=row,
                field=f"{place}.role",
                expected=" or ".join(wanted),
                got=role,
                fix="order the turns: perhaps one of the system, then user and assistant in turn",
            )
        turns.append({"role": str(role), "content": _text(message, place, file, row)})
    if turns[-1]["role"] != last:
        raise InputError(
            "ends with the wrong turn",
            file=file,
            row=row,
            field=f"{field}[{len(turns) - 1}].role",
            expected=last,
            got=turns[-1]["role"],
            fix=f"end it with the {last}'s turn",
        )
    return turns


def read_answers(record: Mapping[str, Any], *, file: str | Path, row: int | str) -> tuple[str, str]:
    """The two answers of a pair, `chosen` and `rejected`, each given as one message of the assistant.

    Args:
        record: What was read.
        file: Named in errors.
        row: Named in errors.

    Returns:
        The preferred answer and the other one.

    Raises:
        InputError: One is missing or is no answer, or both are equal.
    """
    chosen, rejected = (_answer(record, name, file, row) for name in ("chosen", "rejected"))
    if chosen.strip() == rejected.strip():
        raise InputError(
            "both answers of the pair are equal",
            file=file,
            row=row,
            field="rejected",
            expected="another answer than the chosen one",
            got=rejected,
            fix="remove the pair, or correct it",
        )
    return chosen, rejected


def _next_roles(turns: list[Message]) -> tuple[str, ...]:
    """Who may speak next."""
    if not turns:
        return ("system", "user")
    return ("assistant",) if turns[-1]["role"] == "user" else ("user",)


def _answer(record: Mapping[str, Any], field: str, file: str | Path, row: int | str) -> str:
    """The text of an answer that is given as one message of the assistant."""
    messages = require(record, field, list, file=file, row=row)
    if len(messages) != 1 or not isinstance(messages[0], Mapping) or messages[0].get("role") != "assistant":
        expected = "one message of the assistant"
        raise InputError("is not one answer", file=file, row=row, field=field, expected=expected, got=messages)
    return _text(messages[0], f"{field}[0]", file, row)


def _text(message: Mapping[str, Any], place: str, file: str | Path, row: int | str) -> str:
    """What is said in a turn."""
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        raise InputError(
            "a turn has no text", file=file, row=row, field=f"{place}.content", expected="text", got=content
        )
    return content
