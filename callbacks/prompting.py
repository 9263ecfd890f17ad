"""Methods that change nothing but the prompt: who the model is to be stands in its system turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from callbacks.steering import SteeringCallback
from files.errors import InputError
from files.provenance import data_hash
from personas.adjectives import by_adjectives
from personas.backgrounds import SENTENCES, Background
from personas.descriptions import Pole, key_of, pole_of, read_persona_descriptions
from personas.persona import Persona
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


class SimplePrompt(SteeringCallback):
    """Says who the model is to be by adjectives, as in "You are very outgoing, energetic and cheerful".

    Args:
        words: Adjectives for each trait.
        strong: The adverb for very high and very low levels.
        mild: The adverb for levels between those and the average.
        frame: A sentence around the description, with a place for it, `{description}`.
    """

    method = "simple_prompt"

    def __init__(
        self, words: int = 3, strong: str = "very", mild: str = "somewhat", frame: str = "{description}"
    ) -> None:
        self.words = words
        self.strong = strong
        self.mild = mild
        self.frame = frame

    def settings(self) -> dict[str, Any]:
        """All of its options."""
        return {"words": self.words, "strong": self.strong, "mild": self.mild, "frame": self.frame}

    def fit(self) -> None:
        """Refuse options that mean nothing.

        Raises:
            InputError: Naming the option.
        """
        if self.words < 1 or "{description}" not in self.frame:
            raise InputError(
                "means nothing",
                field="trainer.callbacks: SimplePrompt",
                expected="words of 1 or more, and a frame with {description} in it",
                got=self.settings(),
                fix="correct the option",
            )

    def refusal(self, persona: Persona) -> str | None:
        """Anybody who has a level of some trait."""
        return None if persona.levels else "somebody with a level of at least one trait"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after the adjectives of its record's persona."""
        return spoken_by(batch.questions, self._text)

    def _text(self, record: int, persona: Persona) -> str:
        described = by_adjectives(persona, self.words, self.strong, self.mild)
        return self.frame.replace("{description}", described)


class DescriptionPrompt(SteeringCallback):
    """Puts a description of somebody high or low on the trait into the system turn, drawn for each record.

    Args:
        file: JSON Lines that map a trait's name, or `<Trait>_reversed`, to a description.
        seed: Seed of the draws.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, ICLR 2025 (prompt baseline).
    """

    method = "description"

    def __init__(self, file: str = "assets/data/personality_bench/description.json", seed: int = 0) -> None:
        self.file = file
        self.seed = seed
        self.texts: Mapping[Pole, tuple[str, ...]] = {}

    def settings(self) -> dict[str, Any]:
        """The descriptions and the seed."""
        return {"descriptions": data_hash([Path(self.file)]), "seed": self.seed}

    def fit(self) -> None:
        """Read the descriptions.

        Raises:
            InputError: If the file is missing or faulty.
        """
        self.texts = read_persona_descriptions(self.file)

    def refusal(self, persona: Persona) -> str | None:
        """Somebody high or low on one trait of which the file has a description."""
        pole = pole_of(persona)
        if pole in self.texts:
            return None
        lacking = f"; it has none of {key_of(pole)}" if pole is not None else ""
        return f"one of those that {self.file} describes, {', '.join(map(key_of, self.texts))}{lacking}"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after a description of its record's persona."""
        names = batch.questions.ids
        return spoken_by(batch.questions, lambda record, persona: self._text(names[record], persona))

    def _text(self, name: str, persona: Persona) -> str:
        pole = pole_of(persona)
        return "" if pole is None else random.Random(f"{self.seed}/{name}").choice(self.texts[pole])


class BackgroundPrompt(SteeringCallback):
    """Gives the model a background: a sentence for each attribute of a person, or a text.

    It is one and the same somebody in every record, whatever traits that brings along; so it is for benchmarks that ask
    for nobody in particular.

    Args:
        attributes: From attribute to value, such as `{Age: young}`; what each is called see `personas/backgrounds.py`.
            A value of an attribute that is not known there is taken as the sentence itself.
        text: The background as a text, in place of attributes.

    Reference:
        Yang et al., What Makes Your Model a Low-empathy or Warmth Person, 2024 (background as long-term influence).
    """

    method = "background_prompt"

    def __init__(self, attributes: Mapping[str, str] | None = None, text: str | None = None) -> None:
        self.attributes = dict(attributes or {})
        self.text = text

    def settings(self) -> dict[str, Any]:
        """The background."""
        return {"attributes": self.attributes, "text": self.text}

    def fit(self) -> None:
        """See that there is a background, by known values.

        Raises:
            InputError: If there is none or two of them, or an attribute does not take a value.
        """
        if bool(self.attributes) == bool(self.text):
            raise _bad_background("either attributes or a text", self.settings())
        for name, value in self.attributes.items():
            if name in SENTENCES and value not in SENTENCES[name]:
                raise _bad_background(f"{name}: one of {', '.join(SENTENCES[name])}", value)

    def refusal(self, persona: Persona) -> str | None:
        """Nobody in particular."""
        return None if not persona.levels else "nobody in particular, as with --data.init_args.levels []"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after the background."""
        known = {name: value for name, value in self.attributes.items() if name in SENTENCES}
        own = [value for name, value in self.attributes.items() if name not in SENTENCES]
        text = self.text or " ".join(filter(None, [Background(known).text(), *own]))
        return spoken_by(batch.questions, lambda *_: text)


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


def spoken_by(questions: Questions, text: Callable[[int, Persona], str]) -> Questions:
    """Questions with a text of each record's own in the system turn, the same for all of the record's questions.

    Args:
        questions: What is asked.
        text: From a record's place and persona to the text.

    Returns:
        The rewritten questions.
    """
    texts = [text(record, persona) for record, persona in enumerate(questions.personas)]
    return questions.rewritten(lambda record, chat: described_by(texts[record], chat))


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
    return spoken_by(batch.questions, lambda record, _: text(batch, record))


def _bad_background(expected: str, got: object) -> InputError:
    return InputError(
        "is no background",
        field="trainer.callbacks: BackgroundPrompt",
        expected=expected,
        got=got,
        fix="correct the option",
    )
