"""Methods that change nothing but the prompt: the person's own answers in it, or a description by an LLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from callbacks.steering import SteeringCallback
from files.errors import InputError
from personas.questions import Questions
from personas.wording import described_by


@runtime_checkable
class DescribedBatch(Protocol):
    """A batch that knows how to describe its personas.

    Attributes:
        questions: What is asked.
    """

    questions: Questions

    def describe(self, record: int) -> str:
        """A record's person by answered items."""

    def written_description(self, record: int) -> str:
        """A record's person as an LLM has described it."""


class FewShot(SteeringCallback):
    """Puts the person's answers to the describing items (120 in PAPI) into the system turn.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (few-shot baseline).
    """

    method = "few_shot"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after the person's own answers."""
        return described(self.method, batch, lambda people, record: people.describe(record))


class PersonalityPrompt(SteeringCallback):
    """Puts a description that an LLM has written of the person into the system turn.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (personality prompt baseline).
    """

    method = "personality_prompt"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after the written description."""
        return described(self.method, batch, lambda people, record: people.written_description(record))


def described(method: str, batch: Any, text: Callable[[DescribedBatch, int], str]) -> Questions:
    """A batch's questions with a description of each record's person in the system turn.

    Args:
        method: Who asks, for errors.
        batch: The batch.
        text: From batch and record to the description.

    Returns:
        The rewritten questions.

    Raises:
        InputError: If the batch has no descriptions of its personas.
    """
    if not isinstance(batch, DescribedBatch):
        raise InputError(
            f"the method {method} needs people who are described, which this benchmark does not have",
            field="--data",
            expected="a benchmark of people, such as datamodules.papi.PapiDataModule",
            got=type(batch).__name__,
            fix="leave this method out, or choose another benchmark",
        )
    texts = [text(batch, record) for record in range(len(batch.questions))]
    return batch.questions.rewritten(lambda record, chat: described_by(texts[record], chat))
