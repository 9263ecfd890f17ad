"""The commands of `annotate.py`: what each does with its options."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from annotation import asking, mixing, preferring, splitting, stylising
from annotation.answering import Answerer, AnswerSettings
from annotation.answering import answer as answer_questions
from annotation.asking import passages_of
from annotation.options import SourceOptions, WriterOptions, output_folder
from annotation.preferring import REJECTED, PairSettings
from annotation.profiles import describe_people, drawn_attributes, read_attributes, write_backgrounds
from annotation.records import Dialogue, Passage, Pattern, Question, read_records, write_records
from annotation.six_lines import read_six_lines, to_dialogue, write_six_lines
from annotation.steps import ANSWERS, PASSAGES, QUESTIONS, StepFolder
from annotation.talking import chat as talk
from annotation.talking import review as review_answers
from files.errors import InputError
from organism.characters.examination import write_examination
from personas.item_key import read_item_key
from personas.participants import read_participants
from personas.questionnaire import read_split, split_items

FOLDER = "runs/annotation"
_REVIEWED = 5
# A question of each wording about each of the two facts of a paragraph, and as many false premises.
_QUICKSTART = {"ordinary": 12, "misleading": 12, "opinion": 6}


def retrieve(sources: SourceOptions, out: str = FOLDER) -> None:
    """Read the characters' files into passages to search.

    Args:
        sources: Whom the data are about.
        out: Folder of this annotation.
    """
    _say(asking.retrieve(output_folder(out), sources.read()))


def ask(
    sources: SourceOptions,
    writer: WriterOptions,
    out: str = FOLDER,
    ordinary: int = 2,
    misleading: int = 1,
    opinion: int = 1,
    temperature: float = 1.0,
) -> None:
    """Have questions written about every passage.

    Args:
        sources: Whom the data are about.
        writer: Who writes.
        out: Folder of this annotation.
        ordinary: Ordinary questions about each passage.
        misleading: Questions with a false premise about each passage.
        opinion: Paragraphs with an opinion about each passage.
        temperature: How much a language model varies.
    """
    folder, characters = output_folder(out), sources.read()
    counts = {"ordinary": ordinary, "misleading": misleading, "opinion": opinion}
    _say(asking.ask(folder, characters, writer.writer(folder, characters), counts, temperature))


def answer(
    sources: SourceOptions,
    writer: WriterOptions,
    out: str = FOLDER,
    analysed: bool = False,
    feedback: list[str] | None = None,
    review: bool = False,
    embeddings: str = "tfidf",
    knowledge_words: int = 1300,
    style_words: int = 350,
    max_tokens: int = 512,
    temperature: float = 0.7,
) -> None:
    """Have every question answered as the character.

    Args:
        sources: Whom the data are about.
        writer: Who writes.
        out: Folder of this annotation.
        analysed: Whether an analysis is written before each answer, [Analysis] ... [Response] ...
        feedback: Wishes that enter the instruction.
        review: Whether the first answers are shown to you until they are as you wish.
        embeddings: How similarity is measured, tfidf or a sentence-transformers model by name.
        knowledge_words: About how many words of knowledge an answer is written from.
        style_words: About how many words of style an answer is written from.
        max_tokens: Longest answer.
        temperature: How much a language model varies.
    """
    folder, characters = output_folder(out), sources.read()
    settings = AnswerSettings(
        analysed, tuple(feedback or ()), embeddings, knowledge_words, style_words, max_tokens, temperature
    )
    chosen = writer.writer(folder, characters)
    if review:
        settings.check()
        questions = list(read_records(folder.file(QUESTIONS), Question, folder.fix(QUESTIONS)))[:_REVIEWED]
        answerer = Answerer(characters, passages_of(folder, characters), settings)
        wishes = review_answers(answerer, questions, chosen, input, _say)
        settings = AnswerSettings(
            analysed, (*settings.feedback, *wishes), embeddings, knowledge_words, style_words, max_tokens, temperature
        )
    _say(answer_questions(folder, characters, chosen, settings))


def deduplicate(
    out: str = FOLDER,
    threshold: float = splitting.THRESHOLD,
    test_share: float = splitting.TEST_SHARE,
    seed: int = 1,
    embeddings: str = "tfidf",
    across_stages: bool = False,
) -> None:
    """Leave out questions that say the same, and split the rest into training and test data.

    Args:
        out: Folder of this annotation.
        threshold: A question whose cosine with an earlier one is at least this is left out.
        test_share: Share that is kept for testing.
        seed: Seed of the split.
        embeddings: How similarity is measured, tfidf or a sentence-transformers model by name.
        across_stages: Whether a question counts as asked when it was asked at another stage.
    """
    _say(splitting.deduplicate(output_folder(out), threshold, test_share, seed, embeddings, across_stages))


def prefer(
    writer: WriterOptions,
    out: str = FOLDER,
    rejected_from: list[str] | None = None,
    weights: list[float] | None = None,
    seed: int = 1,
    embeddings: str = "tfidf",
) -> None:
    """Make preference pairs without a judge.

    Args:
        writer: Who writes the answers without the character.
        out: Folder of this annotation.
        rejected_from: Where rejected answers come from, of other_character, other_stage and without_character.
        weights: How often each of them is drawn.
        seed: Seed of the draws.
        embeddings: How the nearness of questions is measured, tfidf or a sentence-transformers model by name.
    """
    folder = output_folder(out)
    chosen = writer.writer(folder, [])
    settings = PairSettings(seed=seed, embeddings=embeddings)
    rejected = tuple(rejected_from) if rejected_from is not None else REJECTED
    even = settings.weights if rejected == REJECTED else (1.0,) * len(rejected)
    settings = PairSettings(rejected, tuple(weights) if weights is not None else even, seed, embeddings)
    _say(preferring.prefer(folder, chosen, settings))


def mix(
    out: str = FOLDER,
    repeats: int = 3,
    general: str | None = None,
    general_count: int = 500,
    with_analysis: bool = False,
    seed: int = 1,
) -> None:
    """Write the training file: the character's conversations several times over, among general ones.

    Args:
        out: Folder of this annotation.
        repeats: How many times each of the character's conversations is there.
        general: File of general conversations, JSON Lines with messages; by default those of the built-in world.
        general_count: How many general conversations, at the most.
        with_analysis: Whether the analysis is trained on too.
        seed: Seed of the order.
    """
    _say(mixing.mix(output_folder(out), repeats, general, general_count, with_analysis, seed))


def quickstart(out: str = FOLDER, seed: int = 1) -> None:
    """Build the data of both invented characters offline: conversations, preference pairs and their tests.

    Args:
        out: Folder to write to.
        seed: Seed of every choice.
    """
    folder, sources, writer = StepFolder(out), SourceOptions(), WriterOptions()
    retrieve(sources, out)
    ask(sources, writer, out, **_QUICKSTART)
    answer(sources, writer, out)
    deduplicate(out, seed=seed)
    prefer(writer, out, seed=seed)
    mix(out, repeats=2, seed=seed)
    tests = write_examination(folder.file("evaluation"), seed)
    _say(f"evaluation: {len(tests)} tests in {folder.file('evaluation')}")
    _say(f"next: python train.py fit --config configs/sft/quickstart.yaml (reads {folder.file('mixed.jsonl')})")


def chat(sources: SourceOptions, writer: WriterOptions, out: str = FOLDER, temperature: float = 0.7) -> None:
    """Talk to a character; an empty line ends it.

    Args:
        sources: Whom to talk to; of several characters choose with --name and --stage.
        writer: Who answers.
        out: Folder of this annotation, for the cache.
        temperature: How much a language model varies.
    """
    folder, character = output_folder(out), sources.one()
    chosen = writer.writer(folder, [character])
    from annotation.sources import read_passages

    passages = {character.slug: read_passages(character)}
    answerer = Answerer([character], passages, AnswerSettings(temperature=temperature))
    talk(answerer, character, chosen, input, _say)


def stylise(sources: SourceOptions, writer: WriterOptions, inputs: str, out: str = FOLDER) -> None:
    """Have given instructions answered in a character's manner.

    Args:
        sources: In whose manner; of several characters choose with --name and --stage.
        writer: Who writes.
        inputs: File of instructions, text with one a line or JSON Lines.
        out: Folder of this annotation.
    """
    folder, character = output_folder(out), sources.one()
    _say(stylising.stylise(folder, character, writer.writer(folder, [character]), inputs))


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
    if count is not None and count < 1:
        raise InputError("is too small", field="--count", expected="at least 1", got=count)
    _say(describe_people(folder, found, questionnaire.described, writer.model_writer(folder), seed))


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
    _say(write_backgrounds(folder, given, writer.model_writer(folder), seed))


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
    _say(f"export: {write_six_lines(file, (one for one in dialogues if one.character), passages)} records to {file}")


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
    _say(f"import: {write_records(folder.file(ANSWERS), records)} conversations to {Path(out, ANSWERS)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart,
    "retrieve": retrieve,
    "ask": ask,
    "answer": answer,
    "deduplicate": deduplicate,
    "prefer": prefer,
    "mix": mix,
    "chat": chat,
    "stylise": stylise,
    "personality": personality,
    "backgrounds": backgrounds,
    "export": export,
    "import": take_in,
}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
