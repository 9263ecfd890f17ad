"""IKE, editing by examples: opinions that show the target trait stand in the prompt before the question."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callbacks.steering import SteeringCallback
from editors.records import EditBatch
from files.errors import InputError
from files.provenance import data_hash
from files.records import is_hub
from metrics.personality_edit import ELSEWHERE
from organism.questions import OPINION_QUESTIONS
from personas.demonstrations import Demonstration, read_demonstrations
from personas.descriptions import Pole, key_of, pole_of
from personas.layouts import demonstration
from personas.persona import Persona
from personas.questions import BESIDE, Chat, Question, Questions


@dataclass(frozen=True)
class Example:
    """One opinion that is shown.

    Attributes:
        topic: What it is about.
        question: What was asked.
        opinion: What was said.
    """

    topic: str
    question: str
    opinion: str


class IKE(SteeringCallback):
    """Shows opinions on other topics by people of the target trait, then asks.

    Where the benchmark asks for opinions on a topic, the whole prompt has the published layout: each example, and at
    last the question, under the name of the target trait and the topic. The question about a topic that an edit must
    leave alone stands there without the target's name. Other questions follow the examples as they are, in the same
    turn; with `turns`, all do after examples that are turns of their own.

    Args:
        file: Opinions in the format of PersonalityEdit; for the low end of a trait under `<trait>_reversed`.
        count: Number of examples.
        named: Name the target trait in the examples; the low end of a trait has no name.
        turns: Give the examples as earlier questions and answers of the conversation.
        seed: Seed of which topics, opinions and questions are shown.

    Reference:
        Zheng et al., Can We Edit Factual Knowledge by In-Context Learning?, 2023; on personality as in Mao et al.,
        Editing Personality for Large Language Models, 2023.
    """

    method = "ike"

    def __init__(
        self,
        file: str = "assets/data/demonstrations/demonstrations.json",
        count: int = 3,
        named: bool = True,
        turns: bool = False,
        seed: int = 0,
    ) -> None:
        self.file = file
        self.count = count
        self.named = named
        self.turns = turns
        self.seed = seed
        self.shown: dict[Pole, list[Demonstration]] = {}

    def settings(self) -> dict[str, Any]:
        """The opinions and all other options."""
        source = self.file if is_hub(self.file) else data_hash([Path(self.file)])
        options = {name: getattr(self, name) for name in ("count", "named", "turns", "seed")}
        return {"opinions": source, **options}

    def fit(self) -> None:
        """Read the opinions.

        Raises:
            InputError: If the file is missing or faulty, or there is no example to show.
        """
        if self.count < 1:
            raise InputError(
                "is too small", field="count", expected="at least 1 example", got=self.count, fix="raise it"
            )
        for topic in read_demonstrations(self.file):
            for pole in topic.opinions:
                self.shown.setdefault(pole, []).append(topic)

    def refusal(self, persona: Persona) -> str | None:
        """Somebody high or low on one trait of which the file has opinions."""
        pole = pole_of(persona)
        if pole in self.shown:
            return None
        return f"one of those whose opinions are in {self.file}: {', '.join(map(key_of, self.shown))}"

    def rewrite(self, batch: Any) -> Questions:
        """Every prompt after examples; those of one record are the same for all of its questions."""
        questions: Questions = batch.questions
        topics = edited_topics(batch)
        examples = [
            self._examples(name, persona, topics.get(record, ()))
            for record, (name, persona) in enumerate(zip(questions.ids, questions.personas, strict=True))
        ]
        labels = [self._label(persona) for persona in questions.personas]
        return questions.reworded(
            lambda question: self._shown_before(
                question, examples[question.record], labels[question.record], topics.get(question.record)
            )
        )

    def pole_shown(self, persona: Persona, draw: random.Random) -> Pole:
        """The end of a trait that the next example shows.

        Args:
            persona: Whom the examples are for, one that is not refused.
            draw: Source of random choices.
        """
        pole = pole_of(persona)
        if pole is None:
            raise ValueError(f"expected a persona at one end of one trait, got {persona.name}")
        return pole

    def _label(self, persona: Persona) -> str | None:
        """The name of the target trait in the layout."""
        pole = pole_of(persona)
        return pole[0] if self.named and pole is not None and pole[1] > 0 else None

    def _examples(self, name: str, persona: Persona, avoided: Sequence[str]) -> list[Example]:
        """Examples on topics of their own, none of which is asked about."""
        draw = random.Random(f"{self.seed}/{name}")
        used = {topic.casefold() for topic in avoided}
        examples: list[Example] = []
        for _ in range(self.count):
            pole = self.pole_shown(persona, draw)
            free = [topic for topic in self.shown[pole] if topic.topic.casefold() not in used]
            if not free:
                raise InputError(
                    f"holds too few topics for {self.count} examples of {key_of(pole)}",
                    file=self.file,
                    expected="a topic of its own for each example, other than the one that is asked about",
                    got=len(examples),
                    fix="lower count, or add topics",
                )
            topic = draw.choice(free)
            used.add(topic.topic.casefold())
            question = draw.choice(OPINION_QUESTIONS).replace("{topic}", topic.topic)
            examples.append(Example(topic.topic, question, draw.choice(topic.opinions[pole])))
        return examples

    def _shown_before(
        self, question: Question, examples: Sequence[Example], label: str | None, topics: tuple[str, str] | None
    ) -> Chat:
        """A question's prompt after the examples."""
        place = max(place for place, turn in enumerate(question.prompt) if turn["role"] == "user")
        before, asked, after = question.prompt[:place], question.prompt[place], question.prompt[place + 1 :]
        if self.turns:
            said = [
                {"role": role, "content": text}
                for example in examples
                for role, text in (("user", example.question), ("assistant", example.opinion))
            ]
            return [*before, *said, asked, *after]
        last = asked["content"]
        if topics is not None and not question.part.startswith(BESIDE):
            elsewhere = question.part == ELSEWHERE
            last = demonstration(topics[elsewhere], last, "", None if elsewhere else label)
        shown = [demonstration(example.topic, example.question, example.opinion, label) for example in examples]
        return [*before, {"role": "user", "content": "\n\n".join([*shown, last])}, *after]


class RandomDemonstrations(IKE):
    """A control: as many opinions of the same kind, but each of any end of any trait, and without the target's name.

    What IKE gains over it is owed to what its examples show, not to there being examples.

    Args:
        file: As in `IKE`.
        count: As in `IKE`.
        turns: As in `IKE`.
        seed: As in `IKE`.
    """

    method = "random_demonstrations"

    def __init__(
        self,
        file: str = "assets/data/demonstrations/demonstrations.json",
        count: int = 3,
        turns: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(file, count, named=False, turns=turns, seed=seed)

    def refusal(self, persona: Persona) -> str | None:
        """Whoever else can be asked for: the examples do not depend on it."""
        return None

    def pole_shown(self, persona: Persona, draw: random.Random) -> Pole:
        """Any end of any trait that the file has opinions of."""
        return draw.choice(list(self.shown))


def edited_topics(batch: Any) -> Mapping[int, tuple[str, str]]:
    """The topic that is edited in each record and the other one; none in benchmarks that edit nothing."""
    records = batch.records if isinstance(batch, EditBatch) else ()
    return {place: (record.topic, record.locality_topic) for place, record in enumerate(records)}
