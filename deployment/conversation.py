"""Conversations with several personas at once, beside the model as it is: all of them in one batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import cast

from deployment.method import PreparedMethod
from files.errors import InputError
from interventions.applied import Intervention, applied
from interventions.parts import joined
from lightning_modules.reach import acts_alike
from lm.chat import Chat
from lm.passes import ForwardRows, Steering
from lm.streaming import stream
from personas.persona import Persona

BASE = "base model"
_one_at_a_time = threading.Lock()


@dataclass
class AnswerOptions:
    """How answers are written.

    Attributes:
        strength: Multiplies what the method does to the model; 0 is the base model.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 takes the likeliest token each time.
        seed: Seed of drawing.
    """

    strength: float = 1.0
    max_new_tokens: int = 60
    temperature: float = 0.0
    seed: int = 0


@dataclass
class Conversation:
    """What was said in each column; every one remembers its own words.

    Attributes:
        turns: The chat of each column, by its name.
    """

    turns: dict[str, Chat] = field(default_factory=dict)

    def heard(self, columns: Sequence[str], text: str) -> list[Chat]:
        """The chats of some columns, with the user's next message."""
        return [[*self.turns.get(name, []), {"role": "user", "content": text}] for name in columns]

    def said(self, columns: Sequence[str], prompts: Sequence[Chat], answers: Sequence[str]) -> Conversation:
        """The conversation after these answers; the old one is left alone."""
        new = {
            name: [*prompt, {"role": "assistant", "content": answer}]
            for name, prompt, answer in zip(columns, prompts, answers, strict=True)
        }
        return Conversation(self.turns | new)


def columns_of(personas: Mapping[str, Persona]) -> list[str]:
    """The base model's column, and those of the personas."""
    return [BASE, *personas]


def answered(
    method: PreparedMethod, personas: Mapping[str, Persona], prompts: Sequence[Chat], options: AnswerOptions
) -> Iterator[list[str]]:
    """Answers of the base model and of personas, while they are written; all rows of one batch.

    Args:
        method: How the model becomes the personas.
        personas: By the names of their columns.
        prompts: What the base model and each persona read.
        options: How answers are written.

    Yields:
        The answers so far, the base model's first.

    Raises:
        InputError: The method cannot express one of the personas, or a chat is longer than the model can read.
    """
    if method.model is not method.stage.lm:
        raise InputError(
            f"the method {method.name} has weights of its own and no personas to choose from",
            field="--methods",
            expected="a method that steers or prompts",
            got=method.name,
            fix="export it (python export.py) and give the folder as --models",
        )
    intervention, rewritten = planned(method, list(personas.values()), prompts[1:]) if personas else (None, [])
    steering = None
    if intervention is not None:
        # In the base model's row the same is done at strength 0, which is nothing at all, bit for bit.
        resting = intervention.rows([0]).scaled(0.0)
        together = joined([resting, intervention.scaled(options.strength)])
        steering = steering_by(method, together, len(prompts))
    with _one_at_a_time:
        yield from stream(
            method.stage.lm,
            method.stage.tokenizer,
            [prompts[0], *rewritten],
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            seed=options.seed,
            steering=steering,
        )


def planned(
    method: PreparedMethod, personas: Sequence[Persona], prompts: Sequence[Chat]
) -> tuple[Intervention | None, list[Chat]]:
    """How personas answer prompts, as `PreparedMethod.plan` says, where a user and no benchmark has chosen them.

    Args:
        method: How the model becomes the personas.
        personas: Who answers.
        prompts: What each is asked.

    Raises:
        InputError: The method cannot express one of the personas.
    """
    try:
        return method.plan(personas, prompts)
    except InputError as error:
        if error.field != "--data":
            raise
        fix = "choose other personas or levels, or another method"
        raise InputError(error.problem, expected=error.expected, got=error.got, fix=fix) from error


def steering_by(method: PreparedMethod, intervention: Intervention, count: int) -> Steering:
    """The steering of prompts by an intervention with a row for each of them.

    Args:
        method: Whose model is steered.
        intervention: What is done.
        count: Number of prompts.
    """
    return Steering(
        lambda rows: _acting(method, intervention, rows), list(range(count)), all_alike=acts_alike(intervention)
    )


def _acting(method: PreparedMethod, intervention: Intervention, rows: ForwardRows) -> AbstractContextManager[object]:
    return cast("AbstractContextManager[object]", applied(method.stage.lm, intervention.for_pass(rows)))
