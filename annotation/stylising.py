"""Instruction data in a character's manner: given inputs are answered as the character would."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annotation.asking import passages_of
from annotation.prompts import stylise_messages, wrong_with_styled
from annotation.records import Dialogue, write_records
from annotation.retrieval import PassageIndex, embedder
from annotation.sources import CharacterFiles
from annotation.steps import Failures, StepFolder, check_budget, kept_answers
from annotation.writers import Job, Writer
from files.errors import InputError
from files.readers import read_json_lines, read_text_lines
from llm.requests import ChatRequest

STYLISED = "stylised.jsonl"
_FORMS = (
    "`instruction` (with `output`), `messages`, or `data` (a list of question and answer), one JSON object per line"
)


@dataclass(frozen=True)
class Instruction:
    """Something to be answered.

    Attributes:
        row: Its line.
        text: The words.
        reference: A correct answer; may be empty.
    """

    row: int
    text: str
    reference: str


def read_instructions(file: str | Path) -> list[Instruction]:
    """Read what is to be answered: plain text, one a line, or JSON Lines in one of three forms.

    Raises:
        InputError: The file cannot be read or holds none, or a record is in no such form.
    """
    if Path(file).suffix.lower() not in (".jsonl", ".json"):
        found = [Instruction(row, line.strip(), "") for row, line in read_text_lines(file) if line.strip()]
    else:
        found = [_instruction(record, file, row) for row, record in read_json_lines(file)]
    if not found:
        raise InputError("holds no instruction", file=file, expected=f"text, one a line, or {_FORMS}")
    return found


def stylise(
    folder: StepFolder,
    character: CharacterFiles,
    writer: Writer,
    inputs: str | Path,
    embeddings: str = "tfidf",
    max_tokens: int = 512,
    temperature: float = 0.7,
) -> str:
    """Have instructions answered in a character's manner, to `stylised.jsonl`; those it cannot answer are counted.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no passages or instructions, or the budget is used up.
    """
    instructions = read_instructions(inputs)
    index = PassageIndex(passages_of(folder, [character])[character.slug], embedder(embeddings))
    failures = Failures()
    dialogues: list[Dialogue] = []
    under_way: deque[Instruction] = deque()

    def jobs() -> Iterator[Job]:
        for one in instructions:
            found = {source: index.retrieve(one.text, source) for source in ("knowledge", "style")}
            texts = {source: [passage.text for passage in some] for source, some in found.items()}
            messages = stylise_messages(
                character.name, character.when, one.text, one.reference, texts["knowledge"], texts["style"]
            )
            under_way.append(one)
            request = ChatRequest(messages, max_tokens, temperature, check=wrong_with_styled)
            yield Job("styled", request, character.name, character.stage, "ordinary", one.text)

    def receive(_: Job, text: str | None, reason: str) -> None:
        one = under_way.popleft()
        if text is None:
            failures.add(f"{character.slug}-row-{one.row}", reason)
            return
        turns = (("system", character.system), ("user", one.text), ("assistant", text))
        chat = [{"role": role, "content": content} for role, content in turns]
        name = f"{character.slug}-styled-{one.row}"
        dialogues.append(Dialogue(name, chat, writer.name, character.name, character.stage))

    with kept_answers(folder, "stylise"):
        written = writer.write(jobs(), receive, "answering in style", len(instructions))
    check_budget(written, "stylise")
    if not dialogues:
        raise InputError("nothing was answered", file=inputs, got=dict(failures.counts()))
    counts = {"conversations": write_records(folder.file(STYLISED), dialogues)}
    return folder.finish("stylise", failures, counts, written)


def _instruction(record: dict[str, object], file: str | Path, row: int) -> Instruction:
    data, messages = record.get("data"), record.get("messages")
    text: object = record.get("instruction")
    reference: object = record.get("output", "")
    if isinstance(data, list) and data:
        text, reference = data[0], data[1] if len(data) > 1 else ""
    elif isinstance(messages, list):
        turns = {turn.get("role"): turn.get("content") for turn in reversed(messages) if isinstance(turn, dict)}
        text, reference = turns.get("user"), turns.get("assistant") or ""
    if not isinstance(text, str) or not text.strip() or not isinstance(reference, str):
        raise InputError("is no instruction", file=file, row=row, expected=_FORMS, got=record)
    return Instruction(row, text.strip(), reference.strip())
