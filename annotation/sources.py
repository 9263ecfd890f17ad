"""What is given about a character: two text files for every stage of life, one paragraph a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from annotation.records import Passage, Source
from files.errors import InputError
from files.readers import read_text_lines
from files.yaml_files import read_yaml

_TAG = re.compile(r"\s*(?:【([^】]*)】|\[([^\]]*)\])")
_SETTINGS = "a list of characters, each with name, knowledge and style, and perhaps stage and when"


@dataclass(frozen=True)
class CharacterFiles:
    """A character at one stage of life, or without stages.

    Attributes:
        name: The character's name.
        knowledge: File with what is known.
        style: File with the character's own words; None where there is none.
        stage: Name of the stage.
        when: The sentence that states it to the character; made from the stage's name where it is left out.
    """

    name: str
    knowledge: str
    style: str | None = None
    stage: str | None = None
    when: str | None = None

    @property
    def system(self) -> str:
        """What the character is told: who speaks, and at which stage of life.

        >>> CharacterFiles("Ann", "a.txt", stage="early").system
        'You are Ann. This is the early stage of your life.'
        """
        when = self.when or (f"This is the {self.stage} stage of your life." if self.stage else "")
        return f"You are {self.name}. {when}".strip()

    @property
    def slug(self) -> str:
        """Name and stage as identifiers begin.

        >>> CharacterFiles("Ann Lee", "a.txt", stage="early").slug
        'ann-lee-early'
        """
        words = re.findall(r"\w+", f"{self.name} {self.stage or ''}".lower())
        return "-".join(words)


def read_characters(file: str | Path) -> list[CharacterFiles]:
    """Read who is to be annotated from a YAML file; paths in it are relative to the file.

    Raises:
        InputError: The file cannot be read, names nobody, an entry lacks a field or has an unknown one, or two entries
            are of the same character and stage.
    """
    content = read_yaml(file, problem="is not YAML", expected=_SETTINGS)
    entries = content.get("characters") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise InputError("names no character", file=file, field="characters", expected=_SETTINGS, got=content)
    found = [_entry(entry, number, file) for number, entry in enumerate(entries)]
    slugs = [one.slug for one in found]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise InputError("names a character and stage twice", file=file, expected="every stage once", got=twice[0])
    return found


def read_passages(character: CharacterFiles) -> list[Passage]:
    """Read the paragraphs of a character's files.

    Raises:
        InputError: A file cannot be read or has no usable line.
    """
    passages = _passages(character, "knowledge", character.knowledge)
    return passages + (_passages(character, "style", character.style) if character.style else [])


def split_tags(line: str) -> tuple[list[str], str]:
    """Take the tags off the beginning of a paragraph.

    >>> split_tags("【1920】[letters] She wrote home.")
    (['1920', 'letters'], 'She wrote home.')
    >>> split_tags("No tag [here].")
    ([], 'No tag [here].')
    """
    tags = []
    while match := _TAG.match(line):
        tags.append((match[1] if match[1] is not None else match[2]).strip())
        line = line[match.end() :]
    return tags, line.strip()


def _passages(character: CharacterFiles, source: Source, file: str) -> list[Passage]:
    passages: list[Passage] = []
    lines = 0
    for number, line in read_text_lines(file):
        lines = number
        tags, text = split_tags(line)
        if text:
            name = f"{character.slug}-{source}-{number}"
            passages.append(Passage(name, character.name, character.stage, source, tags, text))
    if not passages:
        raise InputError(
            "has no usable line",
            file=file,
            field=source,
            expected="one paragraph of text a line, perhaps with a tag in brackets before it",
            got=f"{lines} lines that are empty or tags alone",
            fix="write at least one paragraph",
        )
    return passages


def _entry(entry: Any, number: int, file: str | Path) -> CharacterFiles:
    if not isinstance(entry, dict):
        raise InputError("is not a character", file=file, row=number, expected=_SETTINGS, got=entry)
    known = [one.name for one in fields(CharacterFiles)]
    for name in ("name", "knowledge"):
        if name not in entry:
            raise InputError("is missing", file=file, row=number, field=name, expected="text", got=sorted(entry))
    for name, value in entry.items():
        if name not in known:
            raise InputError("is not known", file=file, row=number, field=str(name), expected=", ".join(known))
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise InputError("is not text", file=file, row=number, field=name, expected="text", got=value)
    here = Path(file).parent
    paths = {name: str(here / entry[name]) for name in ("knowledge", "style") if entry.get(name)}
    return CharacterFiles(**{**entry, **paths})


def stage_names(characters: Sequence[CharacterFiles]) -> dict[tuple[str, str | None], CharacterFiles]:
    """The characters by name and stage."""
    return {(one.name, one.stage): one for one in characters}
