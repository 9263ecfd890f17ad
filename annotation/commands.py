"""The commands of `annotate.py`: what each does with its options."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from annotation import asking, mixing, preferring, prompting, splitting
from annotation.answering import Answerer, AnswerSettings
from annotation.answering import answer as answer_questions
from annotation.asking import passages_of
from annotation.options import SourceOptions, WriterOptions, output_folder
from annotation.preferring import REJECTED, PairSettings
from annotation.records import Question, read_records
from annotation.steps import MIXED, QUESTIONS, TEST, StepFolder
from annotation.talking import review as review_answers
from files.errors import InputError
from organism.characters.examination import write_examination

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
    say(asking.retrieve(output_folder(out), sources.read()))


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
    with closing(writer.writer(folder, characters)) as chosen:
        say(asking.ask(folder, characters, chosen, counts, temperature))


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
    settings.check()
    with closing(writer.writer(folder, characters)) as chosen:
        if feedback and not chosen.heeds_wishes:
            raise InputError(
                "changes nothing of what is written by rule",
                field="--feedback",
                expected="--base_url and --model, whose instruction it enters",
                got=feedback,
                fix="name an endpoint, or leave this out",
            )
        if review:
            questions = list(read_records(folder.file(QUESTIONS), Question, folder.fix(QUESTIONS)))[:_REVIEWED]
            answerer = Answerer(characters, passages_of(folder, characters), settings)
            wishes = review_answers(answerer, questions, chosen, input, say)
            settings = replace(settings, feedback=(*settings.feedback, *wishes))
        say(answer_questions(folder, characters, chosen, settings))


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
    say(splitting.deduplicate(output_folder(out), threshold, test_share, seed, embeddings, across_stages))


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
    settings = PairSettings(seed=seed, embeddings=embeddings)
    rejected = tuple(rejected_from) if rejected_from is not None else REJECTED
    even = settings.weights if rejected == REJECTED else (1.0,) * len(rejected)
    settings = PairSettings(rejected, tuple(weights) if weights is not None else even, seed, embeddings)
    settings.check()
    with closing(writer.writer(folder, [])) as chosen:
        say(preferring.prefer(folder, chosen, settings))


def prompt(
    sources: SourceOptions,
    writer: WriterOptions,
    out: str = FOLDER,
    ordinary: int = 2,
    misleading: int = 1,
    opinion: int = 1,
    again: list[str] | None = None,
    threshold: float = splitting.THRESHOLD,
    embeddings: str = "tfidf",
    temperature: float = 1.0,
) -> None:
    """Have further questions written, which need no answers: prompts for training on rewards.

    Args:
        sources: Whom the data are about.
        writer: Who writes.
        out: Folder of this annotation.
        ordinary: Ordinary questions about each passage, beyond those of `ask`.
        misleading: Questions with a false premise about each passage.
        opinion: Paragraphs with an opinion about each passage.
        again: Patterns of train.jsonl that are asked again, so that they are not unlearnt.
        threshold: A question whose cosine with an earlier one is at least this is left out.
        embeddings: How similarity is measured, tfidf or a sentence-transformers model by name.
        temperature: How much a language model varies.
    """
    folder, characters = output_folder(out), sources.read()
    counts = {"ordinary": ordinary, "misleading": misleading, "opinion": opinion}
    with closing(writer.writer(folder, characters)) as chosen:
        say(prompting.prompt(folder, characters, chosen, counts, again or (), threshold, embeddings, temperature))


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
    say(mixing.mix(output_folder(out), repeats, general, general_count, with_analysis, seed))


def quickstart(out: str = FOLDER, seed: int = 1) -> None:
    """Build the data of both invented characters offline: conversations, preference pairs, prompts and their tests.

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
    # Every wording of an ordinary question has been asked by now.
    prompt(sources, writer, out, ordinary=0, misleading=12, opinion=6, again=["ordinary"])
    mix(out, repeats=2, seed=seed)
    tests = write_examination(folder.file("evaluation"), seed)
    say(f"evaluation: {len(tests)} tests in {folder.file('evaluation')}")
    say(f"next: {next_command(folder)}")


def next_command(folder: StepFolder) -> str:
    """The training that reads what the quickstart has written.

    >>> next_command(StepFolder(FOLDER))
    'python train.py fit --config configs/sft/quickstart.yaml'
    """
    command = "python train.py fit --config configs/sft/quickstart.yaml"
    if folder.file(MIXED) == Path(FOLDER, MIXED):
        return command
    files = {"file": folder.file(MIXED), "val_file": folder.file(TEST)}
    return " ".join([command, *(f"--data.init_args.{name} {file}" for name, file in files.items())])


def say(line: str) -> None:
    """Tell the user."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
