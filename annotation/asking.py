"""From a character's files to passages, and from passages to questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from annotation.prompts import ask_messages, wrong_with_question
from annotation.records import PATTERNS, Passage, Pattern, Question, read_records, write_records
from annotation.sources import CharacterFiles, read_passages, stage_names
from annotation.steps import PASSAGES, QUESTIONS, Failures, StepFolder, check_budget, kept_answers
from annotation.writers import Job, Writer, Written
from files.errors import InputError
from llm.requests import ChatRequest

_LONGEST_QUESTION = 300


def retrieve(folder: StepFolder, characters: Sequence[CharacterFiles]) -> str:
    """Read the characters' files and write their passages to `passages.jsonl`.

    Returns:
        One line for the user.

    Raises:
        InputError: A file cannot be read or has no usable line.
    """
    passages = [passage for character in characters for passage in read_passages(character)]
    count = write_records(folder.file(PASSAGES), passages)
    words = sum(len(passage.text.split()) for passage in passages)
    return folder.finish("retrieve", Failures(), {"passages": count, "words": words}, None)


def passages_of(folder: StepFolder, characters: Sequence[CharacterFiles]) -> dict[str, list[Passage]]:
    """The passages that `retrieve` wrote, by the slug of their character and stage.

    Raises:
        InputError: There are none, or none of one of the characters.
    """
    file = folder.file(PASSAGES)
    found: dict[str, list[Passage]] = {character.slug: [] for character in characters}
    known = stage_names(characters)
    for passage in read_records(file, Passage, folder.fix(PASSAGES)):
        character = known.get((passage.character, passage.stage))
        if character is not None:
            found[character.slug].append(passage)
    for slug, passages in found.items():
        if not passages:
            raise InputError(
                "has no passage of a character",
                file=file,
                expected=slug,
                fix=f"{folder.fix(PASSAGES)}, with the same --characters; another --out keeps what is there",
            )
    return found


def check_counts(counts: Mapping[str, int]) -> dict[Pattern, int]:
    """How many questions of each pattern to ask about each passage.

    Raises:
        InputError: A pattern is unknown, a number negative, or all of them are 0.

    >>> check_counts({"ordinary": 2})
    {'ordinary': 2, 'misleading': 0, 'opinion': 0}
    """
    for name, value in counts.items():
        if name not in PATTERNS or value < 0:
            raise InputError(
                "is no number of questions of a pattern",
                field=f"--{name}",
                expected=f"--{', --'.join(PATTERNS)}, and 0 or more",
                got=value,
                fix="correct it",
            )
    if not any(counts.values()):
        raise InputError(
            "asks nothing",
            field=" and ".join(f"--{pattern}" for pattern in PATTERNS),
            expected="at least one question",
            got=dict(counts),
            fix="raise one of them",
        )
    return {pattern: counts.get(pattern, 0) for pattern in PATTERNS}


def ask(
    folder: StepFolder,
    characters: Sequence[CharacterFiles],
    writer: Writer,
    counts: Mapping[str, int],
    temperature: float = 1.0,
) -> str:
    """Have questions written about every passage, to `questions.jsonl`.

    Args:
        folder: Where the passages are.
        characters: Whom they are about.
        writer: Who writes them.
        counts: How many of each pattern about each passage.
        temperature: How much a language model varies.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no passages, the counts are wrong, or the budget is used up.
    """
    questions, failures, written = written_questions(folder, characters, writer, counts, temperature, "ask")
    count = write_records(folder.file(QUESTIONS), _some(questions, folder.file(PASSAGES), failures))
    return folder.finish("ask", failures, {"questions": count}, written)


def written_questions(
    folder: StepFolder,
    characters: Sequence[CharacterFiles],
    writer: Writer,
    counts: Mapping[str, int],
    temperature: float,
    step: str,
    begin: Mapping[Pattern, int] | None = None,
) -> tuple[list[Question], Failures, Written]:
    """Have questions written about every passage.

    Args:
        folder: Where the passages are.
        characters: Whom they are about.
        writer: Who writes them.
        counts: How many of each pattern about each passage.
        temperature: How much a language model varies.
        step: Which step this is.
        begin: The number of the first question of a pattern, where others were asked before; 0 by default.

    Returns:
        The questions, what could not be written, and what the writer says of it.

    Raises:
        InputError: There are no passages, the counts are wrong, or the budget is used up.
    """
    first = begin or {}
    wanted = {name: range(first.get(name, 0), first.get(name, 0) + many) for name, many in check_counts(counts).items()}
    passages = passages_of(folder, characters)
    failures = Failures()
    total = sum(map(len, passages.values())) * sum(map(len, wanted.values()))
    jobs = (job for one in characters for job in _jobs(one, passages[one.slug], wanted, temperature))
    names = iter(_names(characters, passages, wanted))
    questions: list[Question] = []

    def receive(job: Job, text: str | None, reason: str) -> None:
        name, passage = next(names)
        if text is None:
            failures.add(name, reason)
        else:
            said = " ".join(text.split())
            questions.append(Question(name, job.character, job.stage, job.pattern, passage, said, writer.name))

    with kept_answers(folder, step):
        written = writer.write(jobs, receive, "asking", total)
    check_budget(written, step)
    return questions, failures, written


def _names(
    characters: Sequence[CharacterFiles], passages: Mapping[str, list[Passage]], wanted: Mapping[Pattern, range]
) -> Iterator[tuple[str, str]]:
    for character in characters:
        for passage in passages[character.slug]:
            for pattern, numbers in wanted.items():
                for number in numbers:
                    yield f"{passage.id}-{pattern}-{number}", passage.id


def _jobs(
    character: CharacterFiles, passages: Sequence[Passage], wanted: Mapping[Pattern, range], temperature: float
) -> Iterator[Job]:
    for passage in passages:
        for pattern, numbers in wanted.items():
            messages = ask_messages(
                character.name, character.when, pattern, passage.text, style=passage.source == "style"
            )
            for number in numbers:
                request = ChatRequest(messages, _LONGEST_QUESTION, temperature, draw=number, check=wrong_with_question)
                yield Job("question", request, character.name, character.stage, pattern, passage.text, number)


def _some(questions: list[Question], file: Path, failures: Failures) -> list[Question]:
    if not questions:
        raise InputError(
            "gave no question",
            file=file,
            expected="at least one",
            got=[f"{reason}: {count}" for reason, count in failures.counts().items()],
            fix="the built-in writer knows the invented characters alone: give --base_url and --model for others; "
            "of an endpoint, see that it runs at --base_url",
        )
    return questions
