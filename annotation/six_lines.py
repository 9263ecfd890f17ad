"""The original record files: six lines each, the last one empty.

A record is the passage that the question was made from, `[question]` and the question, the answer, what was looked up
of knowledge and of style, and an empty line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from annotation.prompts import ANALYSIS, RESPONSE, split_analysis
from annotation.records import Dialogue, Passage, Pattern
from annotation.sources import CharacterFiles
from files.atomic import write_lines
from files.errors import InputError
from files.readers import read_text_lines

MARK = "[question]"
_LINES = 6


@dataclass(frozen=True)
class SixLines:
    """One record.

    Attributes:
        row: Its first line.
        passage: What the question was made from.
        question: The question, without its mark.
        answer: The answer, with its analysis where it has one.
        knowledge: What was looked up.
        style: What was looked up; may be empty.
    """

    row: int
    passage: str
    question: str
    answer: str
    knowledge: str
    style: str


def read_six_lines(file: str | Path) -> Iterator[SixLines]:
    """Read a file of records, one at a time.

    Raises:
        InputError: The file cannot be read or is empty, a record has fewer or more lines, its second line lacks the
            mark, or it has no question or answer.
    """
    lines: list[str] = []
    number = 0
    for number, line in read_text_lines(file):
        lines.append(line.strip())
        if len(lines) == _LINES:
            yield _record(lines, number - _LINES + 1, file)
            lines = []
    # The last empty line may be missing.
    if lines and (len(lines) < _LINES - 1 or not any(lines)):
        if any(lines):
            raise _unbalanced(file, number - len(lines) + 1, f"{len(lines)} lines before the end of the file")
    elif lines:
        yield _record([*lines, ""], number - len(lines) + 1, file)
    if number == 0:
        raise InputError("is empty", file=file, expected="records of six lines", fix="give another file")


def write_six_lines(file: str | Path, dialogues: Iterable[Dialogue], passages: Mapping[str, Passage]) -> int:
    """Write conversations as records.

    Args:
        file: The file.
        dialogues: Conversations of a character, of one question each.
        passages: The passages that they were made from, by name.

    Returns:
        How many there were.

    Raises:
        InputError: The file cannot be written.
    """

    def lines() -> Iterator[str]:
        for one in dialogues:
            origin = passages.get(one.passage or "")
            thought = f"{ANALYSIS} {one.analysis} {RESPONSE} " if one.analysis else ""
            looked_up = [_joined(names, passages) for names in (one.knowledge, one.style)]
            for line in (origin.text if origin else "", f"{MARK} {one.question}", thought + one.answer, *looked_up, ""):
                yield " ".join(line.split())

    return write_lines(file, lines()) // _LINES


def to_dialogue(record: SixLines, character: CharacterFiles, pattern: Pattern, backend: str) -> Dialogue:
    """A record as a conversation of a character."""
    analysis, said = split_analysis(record.answer)
    turns = (("system", character.system), ("user", record.question), ("assistant", said))
    return Dialogue(
        f"{character.slug}-line-{record.row}",
        [{"role": role, "content": content} for role, content in turns],
        backend,
        character.name,
        character.stage,
        pattern,
        None,
        analysis,
    )


def _joined(names: Iterable[str], passages: Mapping[str, Passage]) -> str:
    return "".join(f"{passages[name].text}..." for name in names if name in passages)


def _record(lines: list[str], row: int, file: str | Path) -> SixLines:
    passage, question, answer, knowledge, style, end = lines
    if not question.lower().startswith(MARK):
        raise _unbalanced(file, row + 1, question, f"a line that begins with {MARK}")
    if end:
        raise _unbalanced(file, row + _LINES - 1, end, "an empty line after every five")
    question = question[len(MARK) :].strip()
    for offset, text, name in ((1, question, "question"), (2, answer, "answer")):
        if not text:
            raise InputError("is empty", file=file, row=row + offset, field=name, expected="text")
    return SixLines(row, passage, question, answer, knowledge, style)


def _unbalanced(file: str | Path, row: int, got: str, expected: str = "six lines, the last one empty") -> InputError:
    return InputError(
        "the records are out of step",
        file=file,
        row=row,
        expected=expected,
        got=got,
        fix="give every record six lines: passage, question, answer, knowledge, style and an empty one",
    )
