"""From questions to conversations: what is known is looked up, and the character answers."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from annotation.asking import passages_of
from annotation.prompts import answer_messages, split_analysis, wrong_with_analysis
from annotation.records import Dialogue, Passage, Question, read_records
from annotation.retrieval import KNOWLEDGE_WORDS, STYLE_WORDS, PassageIndex, embedder
from annotation.sources import CharacterFiles, stage_names
from annotation.steps import ANSWERS, QUESTIONS, Failures, StepFolder, check_budget, kept_answers
from annotation.writers import Job, Writer
from files.atomic import write_lines
from files.errors import InputError, check_at_least
from llm.requests import ChatRequest


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are written.

    Attributes:
        analysed: Whether an analysis stands before the answer, `[Analysis] ... [Response] ...`.
        feedback: Wishes of a person that enter the instruction.
        embeddings: How similarity is measured: `tfidf`, or a sentence-transformers model.
        knowledge_words: About how many words of knowledge an answer is written from.
        style_words: About how many words of style.
        max_tokens: Longest answer.
        temperature: How much a language model varies.
    """

    analysed: bool = False
    feedback: Sequence[str] = ()
    embeddings: str = "tfidf"
    knowledge_words: int = KNOWLEDGE_WORDS
    style_words: int = STYLE_WORDS
    max_tokens: int = 512
    temperature: float = 0.7

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            InputError: A number is too small.
        """
        for name, least in (("knowledge_words", 1), ("style_words", 0), ("max_tokens", 1), ("temperature", 0)):
            check_at_least(f"--{name}", getattr(self, name), least)


class Answerer:
    """Looks up what an answer is written from.

    Args:
        characters: Who may be asked.
        passages: What is known of each, by slug.
        settings: How answers are written.
    """

    def __init__(
        self, characters: Sequence[CharacterFiles], passages: dict[str, list[Passage]], settings: AnswerSettings
    ) -> None:
        self._characters = stage_names(characters)
        self._settings = settings
        self._by_id = {passage.id: passage for some in passages.values() for passage in some}
        self._indices = {
            slug: PassageIndex(some, embedder(settings.embeddings), settings.knowledge_words, settings.style_words)
            for slug, some in passages.items()
        }

    def character(self, question: Question) -> CharacterFiles:
        """Who is asked.

        Raises:
            InputError: Somebody who is not among the characters.
        """
        found = self._characters.get((question.character, question.stage))
        if found is None:
            raise InputError(
                "asks somebody who is not known",
                row=question.id,
                expected=" or ".join(one.slug for one in self._characters.values()),
                got=f"{question.character}, {question.stage}",
                fix="give the files that the questions were made from",
            )
        return found

    def prepare(self, question: Question, feedback: Sequence[str] = ()) -> tuple[Job, list[Passage], list[Passage]]:
        """What is to be written, and the passages of knowledge and style that it is written from."""
        character = self.character(question)
        index, origin = self._indices[character.slug], self._by_id.get(question.passage)
        knowledge = index.retrieve(question.question, "knowledge", origin)
        style = index.retrieve(question.question, "style", origin)
        analysed = self._settings.analysed
        messages = answer_messages(
            character.name,
            character.when,
            question.pattern,
            question.question,
            [passage.text for passage in knowledge],
            [passage.text for passage in style],
            analysed,
            [*self._settings.feedback, *feedback],
        )
        check = wrong_with_analysis if analysed else None
        request = ChatRequest(messages, self._settings.max_tokens, self._settings.temperature, check=check)
        stage, pattern = character.stage, question.pattern
        return (
            Job("answer", request, character.name, stage, pattern, question.question, analysed=analysed),
            knowledge,
            style,
        )

    def dialogue(
        self, question: Question, text: str, knowledge: Sequence[Passage], style: Sequence[Passage], backend: str
    ) -> Dialogue:
        """The conversation that an answer makes."""
        analysis, said = split_analysis(text)
        turns = (("system", self.character(question).system), ("user", question.question), ("assistant", said))
        return Dialogue(
            question.id,
            [{"role": role, "content": content} for role, content in turns],
            backend,
            question.character,
            question.stage,
            question.pattern,
            question.passage,
            analysis,
            [passage.id for passage in knowledge],
            [passage.id for passage in style],
        )


def answer(folder: StepFolder, characters: Sequence[CharacterFiles], writer: Writer, settings: AnswerSettings) -> str:
    """Have every question of `questions.jsonl` answered, to `answers.jsonl`.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no questions or passages, a setting is wrong, or the budget is used up.
    """
    settings.check()
    answerer = Answerer(characters, passages_of(folder, characters), settings)
    failures = Failures()
    questions = read_records(folder.file(QUESTIONS), Question, folder.fix(QUESTIONS))
    under_way: deque[tuple[Question, list[str], list[str]]] = deque()
    done: list[str] = []

    def jobs() -> Iterator[Job]:
        for question in questions:
            job, knowledge, style = answerer.prepare(question)
            names = ([passage.id for passage in knowledge], [passage.id for passage in style])
            under_way.append((question, *names))
            yield job

    def receive(_: Job, text: str | None, reason: str) -> None:
        question, knowledge, style = under_way.popleft()
        if text is None:
            failures.add(question.id, reason)
            return
        dialogue = answerer.dialogue(question, text, [], [], writer.name)
        done.append(json.dumps({**asdict(dialogue), "knowledge": knowledge, "style": style}, ensure_ascii=False))

    total = sum(1 for _ in read_records(folder.file(QUESTIONS), Question, folder.fix(QUESTIONS)))
    with kept_answers(folder, "answer"):
        written = writer.write(jobs(), receive, "answering", total)
    check_budget(written, "answer")
    if not done:
        raise InputError("no question was answered", file=folder.file(QUESTIONS), got=dict(failures.counts()))
    return folder.finish("answer", failures, {"answers": write_lines(folder.file(ANSWERS), done)}, written)
