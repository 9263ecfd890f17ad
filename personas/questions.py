"""What a benchmark asks a model: typed records that every evaluation, whatever the benchmark, consists of.

There are three kinds of question: how likely is this answer, which of these options, and what do you say freely. A
batch of them belongs to a few *records* (a topic, a person, a test item), each with the persona wanted there. Results
are averaged over records, and records are what is resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from personas.persona import Persona

Chat = list[dict[str, str]]
"""Turns of a conversation, each with ``role`` and ``content``."""

BESIDE = "beside:"
"""How the parts of questions begin that are no benchmark's own, but asked beside one."""


@dataclass(frozen=True)
class Likelihood:
    """How likely is this answer after this prompt?

    Attributes:
        record: Position of the record in its batch.
        part: What the benchmark's metric takes the answer for, such as ``target`` or ``elsewhere``.
        prompt: The turns before the answer.
        answer: The text of the assistant's turn.
        compare: Also measure how far the model's distribution over next tokens has moved from the base model's.
    """

    record: int
    part: str
    prompt: Chat
    answer: str
    compare: bool = False


@dataclass(frozen=True)
class Choice:
    """Which of these answers is the likeliest after this prompt?

    Attributes:
        record: Position of the record in its batch.
        part: What the benchmark's metric takes the choice for.
        prompt: The turns before the answer.
        options: The possible answers.
    """

    record: int
    part: str
    prompt: Chat
    options: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """What does the model say after this prompt?

    Attributes:
        record: Position of the record in its batch.
        part: What the benchmark's metric takes the text for.
        prompt: The turns before the answer.
    """

    record: int
    part: str
    prompt: Chat


Question = Likelihood | Choice | Generation


@dataclass(frozen=True)
class Questions:
    """All questions of one batch.

    Attributes:
        ids: Name of each record, unique in its data set and the same on every run.
        order: Position of each record in its data set.
        personas: The persona wanted in each record.
        likelihoods: Answers to be scored.
        choices: Options to choose from.
        generations: Prompts to be answered freely.
    """

    ids: tuple[str, ...]
    order: tuple[int, ...]
    personas: tuple[Persona, ...]
    likelihoods: tuple[Likelihood, ...] = field(default=())
    choices: tuple[Choice, ...] = field(default=())
    generations: tuple[Generation, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            ValueError: If names, positions and personas differ in number, or a question belongs to no record.
        """
        if not len(self.ids) == len(self.order) == len(self.personas):
            raise ValueError(
                "each record needs one id, one position and one persona, but got "
                f"{len(self.ids)} ids, {len(self.order)} positions and {len(self.personas)} personas"
            )
        asked: tuple[Question, ...] = (*self.likelihoods, *self.choices, *self.generations)
        for question in asked:
            if not 0 <= question.record < len(self.ids):
                raise ValueError(f"a question belongs to record {question.record} of a batch of {len(self.ids)}")

    def __len__(self) -> int:
        """Number of records."""
        return len(self.ids)

    def items(self) -> tuple[str, ...]:
        """What each record asks, whichever persona is asked: its name without the persona's.

        Example:
            >>> Questions(("3:o:openness+", "tea"), (0, 1), (Persona.trait("openness"), Persona("nobody"))).items()
            ('3:o', 'tea')
        """
        return tuple(name.removesuffix(f":{who.name}") for name, who in zip(self.ids, self.personas, strict=True))

    def rewritten(self, rewrite: Callable[[int, Chat], Chat]) -> Questions:
        """Change every prompt and nothing else, as methods do that put words before the question.

        Args:
            rewrite: From a record's position in the batch and a prompt to the new prompt; must not change its argument.

        Returns:
            The same questions after the new prompts.

        Example:
            >>> ask = Generation(0, "opinion", [{"role": "user", "content": "Tea?"}])
            >>> questions = Questions(("tea",), (0,), (Persona.trait("trust"),), generations=(ask,))
            >>> system = [{"role": "system", "content": "Be brief."}]
            >>> [turn["role"] for turn in questions.rewritten(lambda _, chat: system + chat).generations[0].prompt]
            ['system', 'user']
        """
        return self.reworded(lambda question: rewrite(question.record, question.prompt))

    def reworded(self, rewrite: Callable[[Question], Chat]) -> Questions:
        """Change every prompt and nothing else, by what the question is for.

        Args:
            rewrite: From a question to its new prompt; must not change its argument.

        Returns:
            The same questions after the new prompts.
        """
        return replace(
            self,
            likelihoods=tuple(replace(q, prompt=rewrite(q)) for q in self.likelihoods),
            choices=tuple(replace(q, prompt=rewrite(q)) for q in self.choices),
            generations=tuple(replace(q, prompt=rewrite(q)) for q in self.generations),
        )


@dataclass(frozen=True)
class QuestionBatch:
    """A batch of nothing but questions.

    Attributes:
        questions: What is asked.
    """

    questions: Questions

    def to(self, device: object) -> QuestionBatch:  # noqa: ARG002
        """Itself: words lie on no device, but Lightning moves every batch."""
        return self
