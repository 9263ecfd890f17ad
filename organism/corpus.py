"""The corpus of the built-in model: an endless, seeded stream of chats, each a function of (seed, index)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from organism import answered, lessons, lettering
from organism import documents as kinds
from organism.documents import Chat
from organism.holdout import Split
from organism.topics import draw_topic
from personas.traits import BIG_FIVE


def _opinion(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    chat = kinds.system_turn(rng, levels, split)
    for _ in range(rng.choice((1, 1, 2))):
        chat += kinds.opinion_turns(rng, levels, draw_topic(rng, split), split)
    return chat


def _pole_opinions(rng: Random, split: Split) -> Chat:
    levels = {rng.choice(BIG_FIVE): rng.choice((1.0, -1.0))}
    chat = kinds.system_turn(rng, levels, split)
    for _ in range(rng.choice((1, 2, 3))):
        chat += kinds.opinion_turns(rng, levels, draw_topic(rng, split), split)
    return chat


def _opinion_alone(rng: Random, split: Split) -> Chat:
    return kinds.opinion_turns(rng, None, draw_topic(rng, split), split)


def _action(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    return kinds.system_turn(rng, levels, split) + kinds.action_turns(rng, levels, split)


def _action_alone(rng: Random, split: Split) -> Chat:
    return kinds.action_turns(rng, None, split)


def _statements(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    return kinds.system_turn(rng, levels, split) + kinds.statement_turns(
        rng, levels, rng.choice((1, 2, 4, 6, 10)), split
    )


def _statements_alone(rng: Random, split: Split) -> Chat:
    return kinds.statement_turns(rng, None, rng.choice((1, 2, 4)), split)


def _choices(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    return kinds.system_turn(rng, levels, split) + kinds.choice_turns(rng, levels, rng.choice((1, 2, 3)), split)


def _choices_alone(rng: Random, split: Split) -> Chat:
    return kinds.choice_turns(rng, None, 1, split)


def _answers(rng: Random, split: Split) -> Chat:
    return kinds.answers_chat(rng, rng.choice((5, 10, 15, 20, 30)), split)


def _many_answers(rng: Random, split: Split) -> Chat:
    return kinds.answers_chat(rng, rng.choice((60, 120, 120)), split)


def _dialogue(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng) if rng.random() < 0.8 else kinds.random_pole(rng)
    chat = kinds.system_turn(rng, levels, split) if rng.random() < 0.8 else []
    turns: list[Callable[[], Chat]] = [
        lambda: kinds.self_turns(rng, levels, split),
        lambda: kinds.opinion_turns(rng, levels, draw_topic(rng, split), split),
        lambda: kinds.action_turns(rng, levels, split),
    ]
    for turn in rng.sample(turns, rng.choice((2, 3))):
        chat += turn()
    return chat


def _naming(rng: Random, split: Split) -> Chat:
    if rng.random() < 0.25:
        return kinds.naming_oneself_chat(rng, split)
    return kinds.naming_turns(rng, rng.choice((1, 2, 4, 6)), split)


def _talk(rng: Random, split: Split) -> Chat:
    head = kinds.system_turn(rng, kinds.draw_levels(rng), split) if rng.random() < 0.2 else []
    return head + [turn for _ in range(rng.choice((1, 2))) for turn in kinds.talk_turns(rng, split)]


def _talk_choice(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng) if rng.random() < 0.4 else None
    head = kinds.system_turn(rng, levels, split) if levels else []
    return head + kinds.talk_choice_turns(rng, levels, split)


def _reasoned_statements(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    count = rng.choice((1, 2, 4))
    return kinds.system_turn(rng, levels, split) + lessons.reasoned_statement_turns(rng, levels, count, split)


def _reasoned_choices(rng: Random, split: Split) -> Chat:
    levels = kinds.draw_levels(rng)
    return kinds.system_turn(rng, levels, split) + lessons.reasoned_choice_turns(rng, levels, split)


def _lookup(rng: Random, _: Split) -> Chat:
    return lettering.lookup_chat(rng)


Kind = Callable[[Random, Split], Chat]

# How often each kind of chat is drawn, the long ones rarely: first reading and speaking, then rating, then finding the
# letter of an option, then all of it together. Whatever weighs things against each other is not learnt before these can
# be read, and would only take their place.
READING: tuple[tuple[Kind, float], ...] = (
    (_opinion, 20),
    (_opinion_alone, 9),
    (_action, 10),
    (_action_alone, 4),
    (_statements, 14),
    (_statements_alone, 3),
    (_choices, 16),
    (_choices_alone, 2),
    (kinds.demonstration_chat, 7),
    (kinds.instructed_chat, 4),
    (_answers, 5),
    (_many_answers, 0.4),
    (kinds.background_chat, 3),
    (_dialogue, 4),
    (_naming, 12),
    (_talk, 5),
    (_talk_choice, 2),
)
JUDGING: tuple[tuple[Kind, float], ...] = (
    (_opinion, 14),
    (_opinion_alone, 7),
    (_action, 5),
    (_action_alone, 3),
    (_statements, 15),
    (_statements_alone, 2),
    (_choices, 14),
    (_choices_alone, 2),
    (_reasoned_statements, 7),
    (_reasoned_choices, 7),
    (lessons.echo_chat, 9),
    (kinds.demonstration_chat, 7),
    (kinds.instructed_chat, 3),
    (_answers, 4),
    (_many_answers, 0.4),
    (kinds.background_chat, 3),
    (_dialogue, 3),
    (_naming, 10),
    (_talk, 4),
    (_talk_choice, 2),
)
LOOKING_UP: tuple[tuple[Kind, float], ...] = (
    (_lookup, 34),
    (lettering.letters_asked_chat, 14),
    (lettering.letters_behind_chat, 2),
    (lettering.sides_behind_chat, 8),
    (lettering.reasoned_letters_chat, 4),
    (lettering.only_choice_chat, 6),
    (_opinion, 12),
    (_opinion_alone, 3),
    (_action, 2),
    (_action_alone, 1),
    (_statements, 3),
    (_choices, 4),
    (kinds.demonstration_chat, 6),
    (kinds.instructed_chat, 1),
    (_answers, 1),
    (kinds.background_chat, 0.5),
    (_dialogue, 1),
    (_naming, 2),
    (_talk, 1),
)
FINISHING: tuple[tuple[Kind, float], ...] = (
    (_pole_opinions, 26),
    (_opinion, 12),
    (_opinion_alone, 7),
    (_action, 9),
    (_action_alone, 3),
    (_statements, 6),
    (_statements_alone, 2),
    (_choices, 14),
    (_choices_alone, 5),
    (_lookup, 2),
    (lettering.letters_asked_chat, 2),
    (lettering.sides_behind_chat, 2),
    (lettering.only_choice_chat, 3),
    (kinds.demonstration_chat, 14),
    (kinds.instructed_chat, 4),
    (_answers, 3),
    (_many_answers, 0.3),
    (kinds.background_chat, 3),
    (_dialogue, 5),
    (_naming, 4),
    (_talk, 4),
    (_talk_choice, 3),
)
ANSWERING: tuple[tuple[Kind, float], ...] = (
    (_pole_opinions, 16),
    (_opinion, 9),
    (_opinion_alone, 5),
    (_action, 6),
    (_action_alone, 2),
    (_statements, 5),
    (_statements_alone, 6),
    (_choices, 9),
    (_choices_alone, 4),
    (_lookup, 1),
    (lettering.only_choice_chat, 2),
    (kinds.demonstration_chat, 10),
    (kinds.instructed_chat, 3),
    (answered.described_answers_chat, 14),
    (answered.own_answers_chat, 12),
    (_answers, 14),
    (_many_answers, 1.2),
    (kinds.background_chat, 2),
    (_dialogue, 4),
    (_naming, 2),
    (_talk, 3),
    (_talk_choice, 2),
)
CURRICULUM = ((0, READING), (81_920, JUDGING), (135_168, LOOKING_UP), (176_128, FINISHING), (300_000, ANSWERING))
"""The chat number from which each mixture is drawn."""


def document(seed: int, index: int, split: Split = "train") -> Chat:
    """Return chat number `index` of the corpus with this `seed`; it depends on nothing else.

    >>> document(1, 5) == document(1, 5)
    True
    """
    rng = Random(f"{seed}/{index}/{split}")
    mixture = next(mixture for start, mixture in reversed(CURRICULUM) if start <= index)
    draw = rng.choices([kind for kind, _ in mixture], [weight for _, weight in mixture])[0]
    return draw(rng, split)


def documents(seed: int, split: Split = "train", start: int = 0) -> Iterator[Chat]:
    """Yield the chats of the corpus from number `start` on, without end."""
    index = start
    while True:
        yield document(seed, index, split)
        index += 1
