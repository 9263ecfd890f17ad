"""Puts the questions of a batch to a model, as it is and under an intervention."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, get_args

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from interventions.applied import Intervention, applied
from interventions.asked_trait import row_of, together
from lightning_modules.answer_windows import AnswerWindow, add_window, answer_window
from lightning_modules.reach import acts_alike, spares_prompts
from lm.generation import generate
from lm.passes import ForwardRows, Side, Steering
from lm.scoring import choose_each
from metrics.benchmark import Answers
from personas.questions import Likelihood, Question, Questions


class RowIntervention(Protocol):
    """An intervention that holds one row per record and can be laid out for the rows of a forward pass."""

    def for_pass(self, rows: ForwardRows) -> Intervention:
        """The same for a pass whose row r belongs to record `rows.keys[r]`."""


@dataclass
class Respondent:
    """Someone who answers: a model, what is asked of it, and what it is steered by.

    Attributes:
        model: The language model.
        questions: The questions, with the prompts as this one sees them.
        intervention: One row per record of the batch; None for the model as it is.
    """

    model: PreTrainedModel
    questions: Questions
    intervention: RowIntervention | None = None

    def steering(self, questions: Sequence[Question]) -> Steering | None:
        """What steers each question: the row of its record, or of its record and trait."""
        if self.intervention is None:
            return None
        keys = [row_of(self.intervention, question) for question in questions]
        reach = together(self.intervention)
        return Steering(self._enter, keys, spares_prompts(reach), acts_alike(reach))

    def _enter(self, rows: ForwardRows) -> AbstractContextManager[object]:
        if self.intervention is None:
            return nullcontext()
        return applied(self.model, self.intervention.for_pass(rows))


@dataclass
class AnswerSettings:
    """How questions are answered.

    Attributes:
        max_new_tokens: Longest free answer, in tokens.
        temperature: 0 takes the likeliest token each time; more draws more freely.
        top_p: Share of probability that drawing is limited to.
        rows: Questions answered in one forward pass.
        seed: Seed of drawing.
        cached: Whether the states of what was read are kept for what follows it.
        padding_side: Where shorter texts that are read as a whole are filled up.
    """

    max_new_tokens: int = 60
    temperature: float = 0.0
    top_p: float = 1.0
    rows: int = 32
    seed: int = 0
    cached: bool = True
    padding_side: Side = "left"

    def check(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            InputError: Naming the option.
        """
        for name, fits, expected in (
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0 and at most 1"),
            ("rows", self.rows >= 1, "1 or more"),
            ("padding_side", self.padding_side in get_args(Side), "left or right"),
        ):
            if not fits:
                option = f"--model.init_args.{name}"
                raise InputError(
                    "is out of range", field=option, expected=expected, got=getattr(self, name), fix="correct it"
                )


def answer_all(
    base: Respondent, persona: Respondent | None, tokenizer: PreTrainedTokenizerBase, settings: AnswerSettings
) -> tuple[Answers, Answers]:
    """Answers of the base model and of the persona to the same questions.

    Args:
        base: The base model with the plain prompts.
        persona: The model under the method; None where there is no method, whose answers are then the base model's.
        tokenizer: Of both models.
        settings: How to answer.

    Returns:
        The answers of both.
    """
    base_answers, [answers], _ = answer_several(base, [persona], tokenizer, settings)
    return base_answers, answers


def answer_several(
    base: Respondent,
    personas: Sequence[Respondent | None],
    tokenizer: PreTrainedTokenizerBase,
    settings: AnswerSettings,
) -> tuple[Answers, list[Answers], list[float]]:
    """Answers of the base model, which are computed once, and under each of several methods.

    Args:
        base: The base model with the plain prompts.
        personas: The model under each method; None where there is no method, whose answers are then the base model's.
        tokenizer: Of all models.
        settings: How to answer.

    Returns:
        The base model's answers, those under each method, and the seconds each method took with the base model.
    """
    everyone = [base, *(persona for persona in personas if persona is not None)]
    clock = Stopwatch(len(everyone))
    answers = _likelihoods(everyone, tokenizer, settings, clock)
    for numbers_alike in _asked_alike(everyone):
        with clock.of(*numbers_alike):
            _choose([(everyone[number], answers[number]) for number in numbers_alike], tokenizer, settings)
    for number, who in enumerate(everyone):
        with clock.of(number):
            _generate(who, answers[number], tokenizer, settings)
    numbers = iter(range(1, len(everyone)))
    of_persona = [0 if persona is None else next(numbers) for persona in personas]
    seconds = [clock.seconds[0] + (clock.seconds[number] if number else 0.0) for number in of_persona]
    return answers[0], [answers[number] for number in of_persona], seconds


class Stopwatch:
    """Seconds spent on each of several things.

    Attributes:
        seconds: So far, by number.
    """

    def __init__(self, things: int) -> None:
        self.seconds = [0.0] * things

    @contextmanager
    def of(self, *things: int) -> Iterator[None]:
        """Add the time of the block to one of them, or in equal parts to several."""
        started = time.perf_counter()
        try:
            yield
        finally:
            for thing in things:
                self.seconds[thing] += (time.perf_counter() - started) / len(things)


def _no_answers() -> Answers:
    return Answers([], [], [], [], [], [])


def _chunks(questions: Sequence[Likelihood], rows: int) -> Iterator[Sequence[Likelihood]]:
    for start in range(0, len(questions), rows):
        yield questions[start : start + rows]


def _likelihoods(
    everyone: Sequence[Respondent], tokenizer: PreTrainedTokenizerBase, settings: AnswerSettings, clock: Stopwatch
) -> list[Answers]:
    """All score the same answers chunk by chunk, so that distributions can be compared and let go again.

    The first of them is the base model, which the others are compared with.
    """
    answers = [_no_answers() for _ in everyone]
    for asked in zip(*(_chunks(who.questions.likelihoods, settings.rows) for who in everyone), strict=True):
        with clock.of(0):
            plain = _window(everyone[0], asked[0], tokenizer, settings)
            add_window(answers[0], plain, plain, asked[0])
        for number in range(1, len(everyone)):
            with clock.of(number):
                window = _window(everyone[number], asked[number], tokenizer, settings)
                add_window(answers[number], plain, window, asked[number])
    return answers


def _window(
    who: Respondent, asked: Sequence[Likelihood], tokenizer: PreTrainedTokenizerBase, settings: AnswerSettings
) -> AnswerWindow:
    steering = who.steering(asked)
    return answer_window(who.model, tokenizer, asked, steering, settings.padding_side, settings.cached)


def _asked_alike(everyone: Sequence[Respondent]) -> list[list[int]]:
    """The numbers of those of whom one model is asked the same choices, together."""
    groups: list[list[int]] = []
    for number, who in enumerate(everyone):
        for group in groups:
            first = everyone[group[0]]
            if first.model is who.model and first.questions.choices == who.questions.choices:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _choose(
    asked_alike: Sequence[tuple[Respondent, Answers]], tokenizer: PreTrainedTokenizerBase, settings: AnswerSettings
) -> None:
    first = asked_alike[0][0]
    asked = first.questions.choices
    if not asked:
        return
    options = [question.options for question in asked]
    chosen = choose_each(
        first.model,
        tokenizer,
        [question.prompt for question in asked],
        options,
        [who.steering(asked) for who, _ in asked_alike],
        batch_size=settings.rows,
        cached=settings.cached,
        side=settings.padding_side,
    )
    for (_, answers), of_who in zip(asked_alike, chosen, strict=True):
        answers.choices = [row[: len(of)] for row, of in zip(of_who.probabilities, options, strict=True)]
        answers.outside = of_who.mass_outside.tolist()


def _generate(who: Respondent, answers: Answers, tokenizer: PreTrainedTokenizerBase, settings: AnswerSettings) -> None:
    asked = who.questions.generations
    if not asked:
        return
    answers.texts = generate(
        who.model,
        tokenizer,
        [question.prompt for question in asked],
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed,
        batch_size=settings.rows,
        steering=who.steering(asked),
        cached=settings.cached,
    )
