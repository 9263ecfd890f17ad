"""Further questions, which need no answers: the prompts of training on rewards.

A reward judges whatever the model says, so what is asked need not have been answered by anybody. Questions that the
model has not learnt the answers to are where it still makes mistakes, and mistakes are what rewards teach from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotation.asking import written_questions
from annotation.records import PATTERNS, Dialogue, Pattern, Prompt, Question, read_records, write_records
from annotation.sources import CharacterFiles, stage_names
from annotation.splitting import THRESHOLD, check_threshold, new_ones
from annotation.steps import PROMPTS, QUESTIONS, TRAIN, StepFolder
from annotation.writers import Writer
from files.errors import InputError
from files.whole_numbers import whole_number


def prompt(
    folder: StepFolder,
    characters: Sequence[CharacterFiles],
    writer: Writer,
    counts: Mapping[str, int],
    again: Sequence[str] = (),
    threshold: float = THRESHOLD,
    embeddings: str = "tfidf",
    temperature: float = 1.0,
) -> str:
    """Have further questions written about every passage, to `prompts.jsonl`, with no answers.

    Args:
        folder: Where passages and questions are.
        characters: Whom they are about.
        writer: Who writes them.
        counts: How many of each pattern about each passage.
        again: Patterns of `train.jsonl` that are asked again: rewarded for one kind of question alone, a model forgets
            how to answer the others.
        threshold: A question whose cosine with an earlier one, asked here or in `questions.jsonl`, is at least this is
            left out.
        embeddings: How similarity is measured.
        temperature: How much a language model varies.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no passages or questions, an option is wrong, the budget is used up, or nothing new was
            asked.
    """
    check_threshold(threshold)
    repeated = _asked_again(folder, again)
    asked = list(read_records(folder.file(QUESTIONS), Question, folder.fix(QUESTIONS)))
    written = written_questions(folder, characters, writer, counts, temperature, "prompt", _after(asked))
    further, failures, how = written
    known, prompts = stage_names(characters), []
    for who in dict.fromkeys((one.character, one.stage) for one in further):
        earlier, later = ([one for one in some if (one.character, one.stage) == who] for some in (asked, further))
        new = new_ones([one.question for one in (*earlier, *later)], threshold, embeddings)[len(earlier) :]
        prompts += [_prompt(one, known[who]) for one, stays in zip(later, new, strict=True) if stays]
    if not prompts:
        raise InputError(
            "gave no new question",
            file=folder.file(QUESTIONS),
            expected="questions unlike those that are there",
            got=f"{len(further)} that are like them, {len(failures.rows)} failures",
            fix="ask for more of them, raise --threshold, or give --base_url and --model",
        )
    counted = {"dropped": len(further) - len(prompts), "new": len(prompts), "asked again": len(repeated)}
    write_records(folder.file(PROMPTS), [*prompts, *repeated])
    return folder.finish("prompt", failures, counted, how)


def _asked_again(folder: StepFolder, patterns: Sequence[str]) -> list[Prompt]:
    """The questions of some patterns that answers are learnt of, without these."""
    unknown = [name for name in patterns if name not in PATTERNS]
    if unknown:
        raise InputError(
            "is no pattern", field="--again", expected=", ".join(PATTERNS), got=unknown[0], fix="correct it"
        )
    if not patterns:
        return []
    return [
        Prompt(one.id, one.messages[:-1], one.backend, one.character, one.stage, one.pattern, one.passage)
        for one in read_records(folder.file(TRAIN), Dialogue, folder.fix(TRAIN))
        if one.pattern in patterns
    ]


def _after(asked: Sequence[Question]) -> dict[Pattern, int]:
    """The first number of each pattern that no question has yet; a name ends with its number."""
    begin: dict[Pattern, int] = {}
    for one in asked:
        number = whole_number(one.id.rpartition("-")[2])
        if number is not None:
            begin[one.pattern] = max(begin.get(one.pattern, 0), number + 1)
    return begin


def _prompt(question: Question, character: CharacterFiles) -> Prompt:
    turns = (("system", character.system), ("user", question.question))
    return Prompt(
        question.id,
        [{"role": role, "content": content} for role, content in turns],
        question.backend,
        question.character,
        question.stage,
        question.pattern,
        question.passage,
    )
