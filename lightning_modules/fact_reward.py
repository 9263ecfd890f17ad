"""A reward for characters whose facts are known exactly."""

from __future__ import annotations

from collections.abc import Sequence

from files.errors import InputError
from lightning_modules.rewards import Records, Reward
from lm.chat import Chat
from organism.characters.facts import characters, known_queries


class FactReward(Reward):
    """1 for an answer of an invented character that tells the fact it was asked for, at its stage of life; else 0.

    The records carry `character` and `stage`, as those that `annotate.py quickstart` writes.

    Args:
        weight: Of this reward in the sum.
    """

    def score(self, prompts: Sequence[Chat], answers: Sequence[str], records: Records) -> Sequence[float]:
        """Whether each answer tells the fact."""
        scores = []
        for prompt, text, record in zip(prompts, answers, records, strict=True):
            fact = told_fact(prompt[-1]["content"], record.get("character"), record.get("stage"))
            scores.append(float(fact.lower() in text.lower()))
        return scores


def told_fact(question: str, character: object, stage: object) -> str:
    """What a right answer contains.

    Args:
        question: What was said to the character.
        character: Its name.
        stage: At which stage of life.

    Raises:
        InputError: The question or the character is none of the built-in world.

    >>> told_fact("Where do you live?", "Tilda Marrow", "early")
    'Saffron Harbour'
    """
    who = characters().get(str(character))
    query = known_queries().get(question)
    if who is None or str(stage) not in who.stages or query is None:
        raise InputError(
            "the prompts are no questions to the invented characters",
            field="--data",
            expected=f"questions of annotate.py quickstart to {', '.join(characters())}, with character and stage",
            got={"question": question, "character": character, "stage": stage},
            fix="give such data, or another reward",
        )
    return who.stages[str(stage)].facts[query.relation]
