"""The training file: what the character says, several times over, among general conversations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from annotation.prompts import ANALYSIS, RESPONSE
from annotation.records import Dialogue, read_records, write_records
from annotation.steps import MIXED, TRAIN, Failures, StepFolder
from files.errors import InputError, check_at_least
from files.readers import read_json_lines
from files.turns import read_turns
from organism.characters.sources import general_dialogues

BUILT_IN_WORLD = "built-in world"


def mix(
    folder: StepFolder,
    repeats: int = 3,
    general: str | None = None,
    general_count: int = 500,
    with_analysis: bool = False,
    seed: int = 1,
) -> str:
    """Write `mixed.jsonl`: the conversations of `train.jsonl` repeated, general ones between them, shuffled.

    Args:
        folder: Where `train.jsonl` is.
        repeats: How many times each of the character's conversations is there.
        general: File of general conversations, JSON Lines with `messages`; those of the built-in world by default.
        general_count: How many general conversations, at the most.
        with_analysis: Whether the analysis is trained on too, before the answer.
        seed: Seed of the order, and of the general conversations of the built-in world.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no conversations, a general one is faulty, or a number is too small.
    """
    check_at_least("--repeats", repeats, 1)
    check_at_least("--general_count", general_count, 0)
    own = list(read_records(folder.file(TRAIN), Dialogue, folder.fix(TRAIN)))
    # Where an answer came from is in `train.jsonl`; repeated here it would be most of the file.
    own = [replace(_analysed(one) if with_analysis else one, knowledge=[], style=[]) for one in own]
    others = general_records(general, general_count, seed)
    mixed = own * repeats + others
    Random(f"{seed}/mix").shuffle(mixed)  # noqa: S311 - no secret depends on it
    write_records(folder.file(MIXED), mixed)
    counts = {"conversations": len(mixed), "of the characters": len(own) * repeats, "general": len(others)}
    return folder.finish("mix", Failures(), counts, None)


def general_records(file: str | None, count: int, seed: int) -> list[Dialogue]:
    """General conversations, from a file or from the built-in world.

    Raises:
        InputError: The file cannot be read, or a conversation is faulty.
    """
    if file is None:
        chats = general_dialogues(count, seed)
        return [Dialogue(f"general-{number}", chat, BUILT_IN_WORLD) for number, chat in enumerate(chats)]
    found: list[Dialogue] = []
    for row, record in read_json_lines(file):
        if len(found) == count:
            break
        messages = read_turns(record, "messages", "assistant", file=file, row=row)
        backend = record.get("backend")
        found.append(Dialogue(f"general-{row}", messages, backend if isinstance(backend, str) else Path(file).name))
    if not found and count:
        raise InputError("holds no conversation", file=file, expected='a line such as {"messages": [...]}')
    return found


def _analysed(one: Dialogue) -> Dialogue:
    """The conversation with its analysis said aloud, where there is one."""
    if one.analysis is None:
        return one
    text = f"{ANALYSIS} {one.analysis} {RESPONSE} {one.answer}"
    return replace(one, messages=[*one.messages[:-1], {"role": "assistant", "content": text}])
