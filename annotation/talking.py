"""Annotation with a person at the keyboard: reviewing the first answers, and talking to a character directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from annotation.answering import Answerer
from annotation.records import Question
from annotation.sources import CharacterFiles
from annotation.writers import Job, Writer
from files.errors import InputError
from files.turns import Message

Read = Callable[[str], str]
Say = Callable[[str], None]
ENOUGH, LEAVE = "ok", ("", "exit")


def review(answerer: Answerer, questions: list[Question], writer: Writer, read: Read, say: Say) -> list[str]:
    """Show answers to a person until they are as wished.

    The first question is answered; what the person says to it enters the instruction, and it is answered again, until
    the person says `ok`. The other questions follow in the same way, for as long as the person finds something.

    Args:
        answerer: Looks up what answers are written from.
        questions: The questions to review with.
        writer: Who answers.
        read: Asks the person, given a prompt; raises EOFError at the end of what is typed.
        say: Shows a line.

    Returns:
        The wishes, in the order in which they came.

    Raises:
        InputError: Nothing was answered, or what is typed ended before the person accepted an answer.
    """
    wishes: list[str] = []
    for question in questions:
        while True:
            job, _, _ = answerer.prepare(question, wishes)
            text = _one(writer, job)
            say(f"Q: {question.question}\nA: {text}")
            try:
                said = read(f"'{ENOUGH}' to accept, or what should be different: ").strip()
            except EOFError as ended:
                raise InputError(
                    "typing ended before an answer was accepted",
                    row=question.question,
                    field="--review",
                    expected=f"'{ENOUGH}', or what should be different",
                    fix="run it where someone can type, or give the wishes by --feedback and leave out --review",
                ) from ended
            if said.lower() == ENOUGH or not said:
                break
            wishes.append(said)
            if not writer.heeds_wishes:
                say(f"(The {writer.name} writes by rule: a wish changes nothing without --base_url and --model.)")
        if said.lower() == ENOUGH:
            break
    return wishes


def chat(answerer: Answerer, character: CharacterFiles, writer: Writer, read: Read, say: Say) -> list[Message]:
    """Talk to a character; an empty line or `exit` ends it.

    Each answer is written from what is looked up for the question, with the conversation so far.

    Returns:
        What was said, in turns.

    Raises:
        InputError: A question could not be answered.
    """
    turns: list[Message] = []
    while True:
        try:
            said = read("Q: ").strip()
        except EOFError:
            return turns
        if said.lower() in LEAVE:
            return turns
        question = Question(
            f"{character.slug}-chat-{len(turns)}", character.name, character.stage, "ordinary", "", said, "a person"
        )
        job, _, _ = answerer.prepare(question)
        system, user = job.request.messages
        text = _one(writer, replace(job, request=replace(job.request, messages=[system, *turns, user])))
        say(f"A: {text}")
        turns += [{"role": "user", "content": said}, {"role": "assistant", "content": text}]


def _one(writer: Writer, job: Job) -> str:
    """One text, or the reason why there is none as an error."""
    texts: list[str | None] = []
    reasons: list[str] = []

    def receive(_: Job, text: str | None, reason: str) -> None:
        texts.append(text)
        reasons.append(reason)

    writer.write([job], receive, "answering", 1)
    if texts[0] is None:
        raise InputError("no answer came", row=job.text, got=reasons[0], fix="try again, or ask something else")
    return texts[0]
