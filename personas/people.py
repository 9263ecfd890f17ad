"""A batch of people to speak as: their answers to a questionnaire, and what is asked in their name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from files.errors import InputError
from personas.persona import Persona
from personas.questionnaire import Participant, Questionnaire, trait_scores
from personas.questions import Questions
from personas.traits import TRAIT_OF_FACET
from personas.wording import Wording


@dataclass(frozen=True)
class PeopleBatch:
    """People of one questionnaire, one record each.

    Attributes:
        questions: What is asked in their name.
        people: Who they are, in the order of the records.
        questionnaire: The items they answered.
        wording: The words around the items.
        written: From case to a description that an LLM has written; empty where there are none.
    """

    questions: Questions
    people: tuple[Participant, ...]
    questionnaire: Questionnaire
    wording: Wording
    written: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of people."""
        return len(self.people)

    def to(self, device: object) -> PeopleBatch:  # noqa: ARG002
        """Itself: words and answers lie on no device, but Lightning moves every batch."""
        return self

    def part(self, records: Sequence[int]) -> PeopleBatch:
        """Some of the people, with nothing asked in their name."""
        questions = Questions(
            ids=tuple(self.questions.ids[record] for record in records),
            order=tuple(self.questions.order[record] for record in records),
            personas=tuple(self.questions.personas[record] for record in records),
        )
        return replace(self, questions=questions, people=tuple(self.people[record] for record in records))

    def describe(self, record: int, items: Sequence[bool] | None = None) -> str:
        """The person of a record by the answers that describe it.

        Args:
            record: The record.
            items: For each describing item whether to tell it; all of them where it is left out.
        """
        told = list(zip(self.questionnaire.described, self.people[record].described(self.questionnaire), strict=True))
        if items is not None:
            told = [pair for pair, chosen in zip(told, items, strict=True) if chosen]
        return self.wording.describe([item for item, _ in told], [answer for _, answer in told])

    def written_description(self, record: int) -> str:
        """The description that an LLM has written of the person of a record.

        Raises:
            InputError: If there is none.
        """
        case = self.people[record].case
        if case not in self.written:
            raise InputError(
                f"there is no written description of case {case}",
                field="--data.init_args.written_descriptions",
                expected="a file with a description of every person, such as personality_prompt.json",
                fix="name the file, or leave out the method personality_prompt",
            )
        return self.written[case]

    def fingerprint(self, record: int) -> str:
        """A name for everything that a method may learn of the person of a record: items, answers and wording."""
        person = self.people[record]
        parts = [
            person.case,
            [asdict(item) for item in self.questionnaire.described],
            list(person.described(self.questionnaire)),
            asdict(self.wording),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def persona_of(person: Participant, questionnaire: Questionnaire) -> Persona:
    """The persona that a person's describing answers make: a level of each trait, from the mean of its items.

    Example:
        >>> from personas.questionnaire import Item
        >>> worry = Item(1, "Worry.", "neuroticism", 1)
        >>> persona_of(Participant("7", 0, (4,)), Questionnaire((worry,), ())).levels
        {'neuroticism': 0.5}
    """
    scores = trait_scores(questionnaire.described, person.described(questionnaire))
    return Persona(f"case {person.case}", {trait: (score - 3) / 2 for trait, score in scores.items()})


def person_at(questionnaire: Questionnaire, persona: Persona, position: int = 0) -> Participant:
    """A synthetic person who answers the items of a trait at its level, and all others neutrally.

    Args:
        questionnaire: The items.
        persona: Levels of one or several traits.
        position: Place in a table.

    Returns:
        The person; their case is the persona's name.

    Example:
        >>> from personas.questionnaire import Item
        >>> worry, calm = Item(1, "Worry.", "neuroticism", 1), Item(2, "Calm.", "neuroticism", -1)
        >>> items = (worry, calm, Item(3, "Sing.", "openness", 1))
        >>> person_at(Questionnaire(items, ()), Persona.trait("neuroticism")).answers
        (5, 1, 3)
        >>> person_at(Questionnaire(items, ()), Persona.trait("neuroticism", -0.5)).answers
        (2, 4, 3)
    """
    levels = {TRAIT_OF_FACET.get(name, name): level for name, level in persona.levels.items()}
    answers = tuple(round(3 + 2 * levels.get(item.trait, 0.0) * item.key) for item in questionnaire.items)
    return Participant(persona.name, position, answers)
