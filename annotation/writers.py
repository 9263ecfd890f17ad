"""Who writes: a large language model behind an endpoint, or the rule-based writer of the invented characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from annotation.records import Pattern
from llm.client import ChatClient, Tally
from llm.requests import ChatAnswer, ChatFailure, ChatRequest, Outcome
from organism.characters import writer as rules
from organism.characters.facts import known_queries

Task = Literal["question", "answer", "styled", "outside"]
BUILT_IN = f"built-in {rules.NAME}"


@dataclass(frozen=True)
class Job:
    """Something to be written, in words for a language model and in parts for rules.

    Attributes:
        task: A question, an answer as the character, one to anything at all in the character's manner, or an answer
            without any character.
        request: What a language model is asked.
        character: Who is asked or speaks.
        stage: At which stage of life.
        pattern: What kind of question.
        text: The passage a question is made from, or the question to answer.
        number: Which of several questions about one passage.
        analysed: Whether an analysis is to stand before the answer.
    """

    task: Task
    request: ChatRequest
    character: str
    stage: str | None
    pattern: Pattern
    text: str
    number: int = 0
    analysed: bool = False


@dataclass
class Written:
    """What became of some jobs.

    Attributes:
        done: How many were written.
        failures: How many were not, by reason.
        said: One line for the user.
    """

    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    said: str = ""


class Writer(Protocol):
    """Does jobs, in order.

    Attributes:
        name: Who it is.
        heeds_wishes: Whether a wish in the instruction changes what it writes.
    """

    name: str
    heeds_wishes: bool

    def write(
        self, jobs: Iterable[Job], receive: Callable[[Job, str | None, str], None], title: str, total: int | None = None
    ) -> Written:
        """Do jobs.

        Args:
            jobs: What to write; taken as they are needed.
            receive: Called in order with each job and its text; without a text, with the reason.
            title: What a progress bar says.
            total: How many there are.
        """

    def close(self) -> None:
        """Let go of files."""


class RuleWriter:
    """The built-in writer: knows the invented characters, needs neither key nor network, and makes no mistake."""

    name = BUILT_IN
    heeds_wishes = False

    def write(
        self, jobs: Iterable[Job], receive: Callable[[Job, str | None, str], None], title: str, total: int | None = None
    ) -> Written:
        """Do jobs; a passage or an instruction about nothing known gives no text, which is counted as a failure."""
        del title, total
        written = Written()
        for job in jobs:
            text = self._text(job)
            written.done += text is not None
            written.failures["unknown"] += text is None
            receive(job, text, "" if text is not None else "unknown: the built-in writer knows nothing of this")
        written.failures = +written.failures
        written.said = f"{written.done} written by the {BUILT_IN}"
        if written.failures:
            written.said += f", nothing it knows in {written.failures.total()}"
        return written

    def close(self) -> None:
        """Nothing is held."""

    def _text(self, job: Job) -> str | None:
        if job.task == "outside":
            return rules.write_without_character(job.text)
        if job.task == "styled" and job.text not in known_queries():
            return None
        if job.task in ("answer", "styled"):
            return rules.write_answer(job.character, job.stage or "", job.text, job.analysed)
        return rules.write_question(job.character, job.stage or "", job.text, job.pattern, job.number)


class ModelWriter:
    """A chat model behind an endpoint.

    Args:
        client: Who asks it.
    """

    heeds_wishes = True

    def __init__(self, client: ChatClient) -> None:
        self.client = client
        self.name = client.settings.endpoint.backend

    def write(
        self, jobs: Iterable[Job], receive: Callable[[Job, str | None, str], None], title: str, total: int | None = None
    ) -> Written:
        """Do jobs; each is asked for once and kept in the client's cache."""
        waiting: dict[int, Job] = {}

        def requests() -> Iterable[ChatRequest]:
            for number, job in enumerate(jobs):
                waiting[number] = job
                yield job.request

        def hand_on(number: int, outcome: Outcome) -> None:
            job = waiting.pop(number)
            if isinstance(outcome, ChatAnswer):
                receive(job, outcome.text.strip(), "")
            else:
                receive(job, None, _reason(outcome))

        tally: Tally = self.client.run(requests(), hand_on, title, total)
        return Written(tally.answered, tally.failures, str(tally))

    def close(self) -> None:
        """Close the cache of answers."""
        self.client.close()


def _reason(failure: ChatFailure) -> str:
    return f"{failure.reason}: {failure.detail}"
