"""What answers are rewarded for: agreement with a person's answers, or any function that a settings file names."""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from files.errors import InputError
from lm.chat import Chat
from lm.prompt_batch import PromptBatch
from metrics.answer_letters import parse_letter
from metrics.likert import POINTS

Records = Sequence[Mapping[str, Any]]
_WIDEST_GAP = 4


class Reward(ABC):
    """Scores answers; several of them are weighted and summed.

    Args:
        weight: Of this reward in the sum.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    @property
    def name(self) -> str:
        """What logs and errors call it."""
        return type(self).__name__.removesuffix("Reward").lower()

    def prepare(self) -> None:  # noqa: B027 - most rewards need nothing
        """Load what is needed and check it, before anything is trained.

        Raises:
            InputError: Something is missing.
        """

    @abstractmethod
    def score(self, prompts: Sequence[Chat], answers: Sequence[str], records: Records) -> Sequence[float]:
        """One number per answer; larger is better.

        Args:
            prompts: What was asked.
            answers: What was said.
            records: What is known of each prompt.
        """


class QuestionnaireReward(Reward):
    """Agreement with a person's own answers to questionnaire items: 1 for the same option, -1 for the opposite end.

    The records carry the person's answer from 1 to 5 as `answer`.

    Args:
        weight: Of this reward in the sum.
        unread: Reward of a text that chooses no option.
    """

    def __init__(self, weight: float = 1.0, unread: float = -1.0) -> None:
        super().__init__(weight)
        self.unread = unread

    def score(self, prompts: Sequence[Chat], answers: Sequence[str], records: Records) -> Sequence[float]:  # noqa: ARG002
        """The agreement of each answer."""
        scores = []
        for text, record in zip(answers, records, strict=True):
            wanted = record.get("answer")
            if not isinstance(wanted, int | float) or isinstance(wanted, bool):
                raise InputError(
                    "the prompts do not say what the person answered",
                    field="--data",
                    expected="records with a number `answer`, as of datamodules.papi_training.PapiPromptDataModule",
                    got=sorted(record),
                    fix="give such data, or another reward",
                )
            scores.append(agreement(text, float(wanted), self.unread))
        return scores


class CallableReward(Reward):
    """Any function of prompts, answers and records that returns a number per answer.

    Args:
        function: Its dotted path, such as my_rewards.politeness; the module must be importable.
        weight: Of this reward in the sum.
    """

    def __init__(self, function: str, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.path = function
        self._function: Callable[..., Sequence[float]] | None = None

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.path.rpartition(".")[2]

    def prepare(self) -> None:
        """Find the function.

        Raises:
            InputError: There is none of that name.
        """
        module, _, name = self.path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise self._missing(str(error)) from error
        if not callable(found):
            raise self._missing(f"{self.path} is a {type(found).__name__}")
        self._function = found

    def score(self, prompts: Sequence[Chat], answers: Sequence[str], records: Records) -> Sequence[float]:
        """What the function says."""
        if self._function is None:
            self.prepare()
        if self._function is None:
            raise RuntimeError("the function was not found")
        return self._function(prompts, answers, records)

    def _missing(self, reason: str) -> InputError:
        return InputError(
            f"names no function: {reason}",
            field="model.init_args.rewards.init_args.function",
            expected="the dotted path of a function, such as my_rewards.politeness",
            got=self.path,
            fix="correct the path, and start from the folder that the module lies in",
        )


def agreement(text: str, wanted: float, unread: float) -> float:
    """Agreement of a text that chooses an option with a person's answer.

    Args:
        text: What was said.
        wanted: The person's answer, 1 to 5.
        unread: What a text counts that chooses none.

    >>> agreement("A", 5, -1.0), agreement("E.", 5, -1.0), agreement("(C)", 5, -1.0), agreement("Hm", 5, -1.0)
    (1.0, -1.0, 0.0, -1.0)
    """
    letter = parse_letter(text)
    if letter is None:
        return unread
    return 1.0 - 2.0 * abs(POINTS[letter] - wanted) / _WIDEST_GAP


def total_reward(
    rewards: Sequence[Reward], batch: PromptBatch, answers: Sequence[str]
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of several rewards, checked.

    Args:
        rewards: The rewards.
        batch: What was asked.
        answers: What was said.

    Returns:
        One number per answer (B,), and each reward's own mean.

    Raises:
        InputError: A reward is no number, or there is not one per answer.
    """
    total, means = torch.zeros(len(answers)), {}
    for reward in rewards:
        scores = [float(score) for score in reward.score(batch.prompts, answers, batch.records)]
        if len(scores) != len(answers):
            raise _faulty(reward, "has not one number per answer", f"{len(answers)} numbers", len(scores))
        for number, score in enumerate(scores):
            if not math.isfinite(score):
                problem = f"is no number for the answer {answers[number][:60]!r}"
                raise _faulty(reward, problem, "a finite number", score)
        values = torch.tensor(scores)
        means[reward.name] = float(values.mean())
        total = total + reward.weight * values
    return total, means


def _faulty(reward: Reward, problem: str, expected: str, got: object) -> InputError:
    return InputError(
        f"the reward {reward.name} {problem}",
        field="model.init_args.rewards",
        expected=expected,
        got=got,
        fix="correct the reward, or remove it",
    )
