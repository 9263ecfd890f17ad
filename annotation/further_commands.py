"""The further commands of `annotate.py`: talking, stylising, describing people, and the original record files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from annotation import commands, stylising
from annotation.answering import Answerer, AnswerSettings
from annotation.commands import FOLDER, say
from annotation.options import SourceOptions, WriterOptions, output_folder
from annotation.profiles import describe_people, drawn_attributes, read_attributes, write_backgrounds
from annotation.records import Dialogue, Passage, Pattern, read_records, write_records
from annotation.six_lines import read_six_lines, to_dialogue, write_six_lines
from annotation.sources import read_passages
from annotation.steps import ANSWERS, PASSAGES, StepFolder
from annotation.talking import chat as talk
from annotation.writers import ModelWriter
from files.errors import InputError, check_at_least
from personas.item_key import read_item_key
from personas.participants import read_participants
from personas.questionnaire import read_split, split_items


def chat(sources: SourceOptions, writer: WriterOptions, out: str = FOLDER, temperature: float = 0.7) -> None:
    """Talk to a character; an empty line ends it.

    Args:
        sources: Whom to talk to; of several characters choose with --name and --stage.
        writer: Who answers.
        out: Folder of this annotation, for the cache.
        temperature: How much a language model varies.
    """
    folder, character = output_folder(out), sources.one()
    passages = {character.slug: read_passages(character)}
    answerer = Answerer([character], passages, AnswerSettings(temperature=temperature))
    with closing(writer.writer(folder, [character])) as chosen:
        talk(answerer, character, chosen, input, say)


def stylise(sources: SourceOptions, writer: WriterOptions, inputs: str, out: str = FOLDER) -> None:
    """Have given instructions answered in a character's manner.

    Args:
        sources: In whose manner; of several characters choose with --name and --stage.
        writer: Who writes.
        inputs: File of instructions, text with one a line or JSON Lines.
        out: Folder of this annotation.
    """
    folder, character = output_folder(out), sources.one()
    with closing(writer.writer(folder, [character])) as chosen:
        say(stylising.stylise(folder, character, chosen, inputs))


def personality(
    writer: WriterOptions,
    people: str,
    items: str,
    split: str,
    out: str = FOLDER,
    count: int | None = None,
    seed: int = 1,
) -> None:
    """Have people described from the questionnaire answers that describe them, as PAPI's personality prompts.

    Args:
        writer: Who writes.
        people: Table of people's answers.
        items: Key of the questionnaire.
        split: Which items describe a person.
        out: Folder to write to.
        count: How many people, from the first on; all of them by default.
        seed: Seed of the built-in writer's wording.
    """
    folder = output_folder(out)
    numbers = read_split(split)
    key = read_item_key(items, [number for some in numbers.values() for number in some])
    questionnaire = split_items(numbers, key, split)
    found = list(read_participants(people, questionnaire.described))[:count]
    if count is not None:
        check_at_least("--count", count, 1)
    with _closed(writer.model_writer(folder)) as chosen:
        say(describe_people(folder, found, questionnaire.described, chosen, seed))


def backgrounds(
    writer: WriterOptions, attributes: str | None = None, count: int = 20, out: str = FOLDER, seed: int = 1
) -> None:
    """Have a background written for each of several lists of attributes.

    Args:
        writer: Who writes.
        attributes: JSON list of objects with attributes; made-up people by default.
        count: How many made-up people.
        out: Folder to write to.
        seed: Seed of made-up people and of the built-in writer's wording.
    """
    folder = output_folder(out)
    given = read_attributes(attributes) if attributes is not None else drawn_attributes(count, seed)
    with _closed(writer.model_writer(folder)) as chosen:
        say(write_backgrounds(folder, given, chosen, seed))


def export(file: str, out: str = FOLDER, records: str = ANSWERS) -> None:
    """Write conversations as an original record file, six lines each.

    Args:
        file: The record file to write.
        out: Folder of this annotation.
        records: Which of its conversations.
    """
    folder = StepFolder(out)
    passages = {one.id: one for one in read_records(folder.file(PASSAGES), Passage, folder.fix(PASSAGES))}
    dialogues = read_records(folder.file(records), Dialogue, folder.fix(records))
    say(f"export: {write_six_lines(file, (one for one in dialogues if one.character), passages)} records to {file}")


def take_in(
    sources: SourceOptions, file: str, out: str = FOLDER, pattern: Pattern = "ordinary", backend: str = "six-line file"
) -> None:
    """Read an original record file, six lines each, as this annotation's answers.

    Args:
        sources: Whose records they are; of several characters choose with --name and --stage.
        file: The record file.
        out: Folder of this annotation.
        pattern: What kind of questions these are.
        backend: Who wrote the answers.
    """
    folder, character = output_folder(out), sources.one()
    records: Sequence[Any] = [to_dialogue(one, character, pattern, backend) for one in read_six_lines(file)]
    if not records:
        raise InputError("holds no record", file=file, expected="records of six lines")
    say(f"import: {write_records(folder.file(ANSWERS), records)} conversations to {Path(out, ANSWERS)}")


@contextmanager
def _closed(writer: ModelWriter | None) -> Iterator[ModelWriter | None]:
    """A writer that is closed afterwards, if there is one."""
    try:
        yield writer
    finally:
        if writer is not None:
            writer.close()


COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": commands.quickstart,
    "retrieve": commands.retrieve,
    "ask": commands.ask,
    "answer": commands.answer,
    "deduplicate": commands.deduplicate,
    "prefer": commands.prefer,
    "prompt": commands.prompt,
    "mix": commands.mix,
    "chat": chat,
    "stylise": stylise,
    "personality": personality,
    "backgrounds": backgrounds,
    "export": export,
    "import": take_in,
}
