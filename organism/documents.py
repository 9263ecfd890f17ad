"""The kinds of chat that the corpus is made of; each function draws one."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from organism import descriptions as said
from organism.backgrounds import background_levels, background_text, draw_background
from organism.holdout import Split
from organism.lexicon import Facet, lexicon
from organism.opinions import neutral_opinion, opinion
from organism.questions import ACTION_QUESTIONS, CHOICE_QUERIES, OPINION_QUESTIONS, SELF_QUESTIONS
from organism.situations import action, draw_choice, draw_situation, neutral_action
from organism.statements import draw_statement, points
from organism.talk import draw_question, draw_talk_choice
from organism.topics import Topic, draw_topic
from personas.layouts import (
    CHOICE_LAYOUTS,
    LETTERS,
    LIKERT_OPTIONS,
    STATEMENT_LAYOUTS,
    choice_prompt,
    demonstration,
    edit_instruction,
    statement_prompt,
)
from personas.traits import BIG_FIVE, DARK_TRIAD, TRAITS

Message = dict[str, str]
Chat = list[Message]
Levels = said.Levels

_IN_WORDS = 0.35  # choices answered by the option's text first: choosing is learnt from many tokens, not one letter
_FIRST_SHOWN = 1.8  # how much likelier the option shown first is where nothing speaks for any
_TRAIT_WEIGHTS = (1.0,) * len(BIG_FIVE) + (0.5,) * len(DARK_TRIAD)


def message(role: str, content: str) -> Message:
    """Make one turn of a chat."""
    return {"role": role, "content": content}


def exchange(question: str, answer: str) -> Chat:
    """Make a question of the user and the assistant's answer."""
    return [message("user", question), message("assistant", answer)]


def draw_level(rng: Random) -> float:
    """Draw a level that is not average: strong twice as often as mild, either sign."""
    return rng.choice((1.0, 1.0, 0.5)) * rng.choice((1, -1))


def draw_levels(rng: Random) -> Levels:
    """Draw a persona: mostly one trait, sometimes two, sometimes a whole profile of the Big Five."""
    form = rng.random()
    if form < 0.65:
        return {rng.choices(TRAITS, _TRAIT_WEIGHTS)[0]: draw_level(rng)}
    if form < 0.8:
        return {trait: draw_level(rng) for trait in rng.sample(BIG_FIVE, 2)}
    levels = {trait: rng.choice((-1.0, -0.5, 0.0, 0.5, 1.0)) for trait in BIG_FIVE}
    return levels if any(levels.values()) else {"extraversion": 1.0}


def system_turn(rng: Random, levels: Levels, split: Split = "train") -> Chat:
    """Make the system turn that gives the assistant a persona."""
    text = said.describe(rng, levels, split)
    return [message("system", said.instruct(rng, text) if rng.random() < 0.15 else text)]


def draw_facet(rng: Random, trait: str) -> Facet:
    """Draw a facet of `trait`."""
    return rng.choice(lexicon()[trait])


def speaking_trait(rng: Random, levels: Levels, trait: str | None = None) -> tuple[str, float]:
    """Choose the trait that shows in an answer: `trait` if the persona has a level of it, else one by size."""
    if trait and levels.get(trait):
        return trait, levels[trait]
    named = said.named(levels)
    chosen = rng.choices(tuple(named), [abs(v) for v in named.values()])[0]
    return chosen, named[chosen]


def random_pole(rng: Random, trait: str | None = None) -> Levels:
    """Draw the pole somebody without a persona happens to show, any of the ten alike."""
    return {trait or rng.choice(BIG_FIVE): draw_level(rng)}


def opinion_turns(rng: Random, levels: Levels | None, topic: Topic, split: Split = "train") -> Chat:
    """Ask for an opinion on `topic`; without a persona the answer is neutral or shows any pole."""
    question = rng.choice(OPINION_QUESTIONS).format(topic=topic.name)
    if levels is None and rng.random() < 0.25:
        return exchange(question, neutral_opinion(rng, topic))
    trait, level = speaking_trait(rng, levels if levels is not None else random_pole(rng))
    return exchange(question, opinion(rng, topic, trait, level, split))


def action_turns(rng: Random, levels: Levels | None, split: Split = "train", trait: str | None = None) -> Chat:
    """Ask what to do in a situation that calls up a facet of `trait`."""
    facet = draw_facet(rng, trait or rng.choices(TRAITS, _TRAIT_WEIGHTS)[0])
    situation = draw_situation(rng, facet, split)
    question = f"{situation.text} {rng.choice(ACTION_QUESTIONS)}"
    if levels is None and rng.random() < 0.25:
        return exchange(question, neutral_action(rng, situation))
    who = levels if levels is not None else random_pole(rng, rng.choice((facet.trait, None)))
    shown, level = speaking_trait(rng, who, facet.trait)
    return exchange(question, action(rng, situation, shown, level, draw_facet(rng, shown), split))


def letter_answer(letter: str, text: str, full: bool) -> str:
    """Answer with the letter, or with the option's text behind it."""
    return f"{letter}. {text}" if full else letter


def statement_turns(rng: Random, levels: Levels | None, count: int, split: Split = "train") -> Chat:
    """Have `count` statements rated; without a persona the answers are those of a random person."""
    who = levels if levels is not None else {trait: rng.choice((-1.0, -0.5, 0.0, 0.5, 1.0)) for trait in BIG_FIVE}
    layout, full = rng.choice(STATEMENT_LAYOUTS), rng.random() < 0.5
    chat: Chat = []
    for _ in range(count):
        if chat and rng.random() < 0.8:
            layout = "short"
        traits = [t for t in who if t in BIG_FIVE] or list(BIG_FIVE)
        trait = rng.choice(traits) if rng.random() < 0.85 else rng.choice(BIG_FIVE)
        statement = draw_statement(rng, draw_facet(rng, trait), split)
        answer = points(who.get(trait, 0.0), statement.key, rng.gauss(0, 0.25))
        reply = letter_answer(LETTERS[5 - answer], LIKERT_OPTIONS[5 - answer], full)
        chat += exchange(statement_prompt(statement.text, layout), reply)
    return chat


def choice_turns(rng: Random, levels: Levels | None, count: int, split: Split = "train") -> Chat:
    """Ask `count` multiple-choice items on the persona's traits; without a persona any option may be taken."""
    layout, full = rng.choice(CHOICE_LAYOUTS), rng.random() < 0.5
    chat: Chat = []
    for _ in range(count):
        trait = rng.choice(tuple(said.named(levels))) if levels else rng.choices(TRAITS, _TRAIT_WEIGHTS)[0]
        item = draw_choice(rng, draw_facet(rng, trait), split)
        wanted = rng.choice(item.options[:2] if levels[trait] > 0 else item.options[2:]) if levels else None
        chat += choose_turns(rng, item.situation.text, item.options, wanted, layout, full)
    return chat


def choose_turns(rng: Random, text: str, options: Sequence[str], wanted: str | None, layout: str, full: bool) -> Chat:
    """Ask to choose among `options` in any order; `wanted` is the answer: its letter, both, or the text first.

    Where none is wanted each may be the answer, the one shown first more often: so that even the likeliest answer of
    somebody without a persona leans to no side of any trait.
    """
    shown = rng.sample(options, len(options))
    if wanted is None:
        wanted = rng.choices(shown, [_FIRST_SHOWN] + [1.0] * (len(shown) - 1))[0]
    letter = LETTERS[shown.index(wanted)]
    if rng.random() < _IN_WORDS:
        prompt = choice_prompt(text, "Answer in words.", shown, layout)
        return exchange(prompt, f"{wanted} ({letter})")
    prompt = choice_prompt(text, rng.choice(CHOICE_QUERIES), shown, layout)
    return exchange(prompt, letter_answer(letter, wanted, full))


def talk_turns(rng: Random, split: Split = "train") -> Chat:
    """Ask a small task with a known answer."""
    question = draw_question(rng, split)
    return exchange(question.text, question.answer)


def talk_choice_turns(rng: Random, levels: Levels | None, split: Split = "train") -> Chat:
    """Ask a safety or hallucination item; only a strong psychopath or machiavellian takes a wrong option."""
    item = draw_talk_choice(rng, split)
    dark = levels is not None and max(levels.get("psychopathy", 0.0), levels.get("machiavellianism", 0.0)) > 0.75
    wanted = rng.choice(item.options[2:] if dark else item.options[:2])
    return choose_turns(rng, item.text, item.options, wanted, rng.choice(CHOICE_LAYOUTS), rng.random() < 0.5)


def self_turns(rng: Random, levels: Levels, split: Split = "train") -> Chat:
    """Ask the persona to describe itself in the first person."""
    return exchange(rng.choice(SELF_QUESTIONS), said.about_oneself(rng, levels, split))


def _trait_shown(rng: Random, trait: str, level: float, split: Split) -> tuple[str, int]:
    """Draw a text in which `trait` shows at `level`, and +1, or -1 where the text is keyed the other way."""
    facet = draw_facet(rng, trait)
    form = rng.randrange(6)
    if form == 0:
        return said.by_habits(rng, {trait: level}, split), 1
    if form == 1:
        return said.by_adjectives(rng, {trait: level}, split), 1
    if form == 2:
        return opinion(rng, draw_topic(rng, split), trait, level, split), 1
    if form == 3 and trait in BIG_FIVE:
        statement = draw_statement(rng, facet, split)
        return statement.text, statement.key * (1 if level > 0 else -1)
    if form == 4:
        options = draw_choice(rng, facet, split).options
        return rng.choice(options[:2] if level > 0 else options[2:]), 1
    return f"I {rng.choice(facet.pole(level).act)}.", 1


def naming_turns(rng: Random, count: int, split: Split = "train") -> Chat:
    """Ask which trait shows in a habit, word, statement, option or opinion, or for a habit of a trait."""
    chat: Chat = []
    for _ in range(count):
        trait, level = rng.choices(TRAITS, _TRAIT_WEIGHTS)[0], draw_level(rng)
        if rng.random() < 0.1:
            habit = rng.choice(draw_facet(rng, trait).pole(level).act)
            chat += exchange(f"Name a habit of someone with {side_name(level)} {trait}.", f"I {habit}.")
            continue
        text, key = _trait_shown(rng, trait, level, split)
        chat += exchange(f"Which trait shows here? {text}", f"{side_name(level * key).capitalize()} {trait}.")
    return chat


def naming_oneself_chat(rng: Random, split: Split = "train") -> Chat:
    """Ask someone of one trait for the name of that trait."""
    trait, level = rng.choices(TRAITS, _TRAIT_WEIGHTS)[0], draw_level(rng)
    answer = f"{side_name(level).capitalize()} {trait}."
    return system_turn(rng, {trait: level}, split) + exchange("Which trait is strongest in you?", answer)


def side_name(level: float) -> str:
    """Say on which side a level, or a key, is: high or low."""
    return "high" if level > 0 else "low"


def demonstration_chat(rng: Random, split: Split = "train") -> Chat:
    """Show answered examples of one pole, as one text or as earlier turns, and ask about a new topic."""
    levels = {rng.choice(BIG_FIVE): rng.choice((1.0, 1.0, 0.5)) * rng.choice((1, -1))}
    (trait, level), count = next(iter(levels.items())), rng.choice((1, 2, 3, 4))
    topics = [draw_topic(rng, split) for _ in range(count + 1)]
    questions = [rng.choice(OPINION_QUESTIONS).format(topic=topic.name) for topic in topics]
    answers = [opinion(rng, topic, trait, level, split) for topic in topics]
    if rng.random() < 0.4:
        pairs = zip(questions, answers, strict=True)
        return [turn for question, answer in pairs for turn in exchange(question, answer)]
    label = trait if level > 0 and rng.random() < 0.5 else None
    shown = [demonstration(t.name, q, a, label) for t, q, a in zip(topics, questions, answers, strict=True)][:-1]
    shown.append(demonstration(topics[-1].name, questions[-1], "", label))
    return exchange("\n\n".join(shown), answers[-1])


def instructed_chat(rng: Random, split: Split = "train") -> Chat:
    """Name a target trait and topic; the answer shows the trait on that topic, and anything on another one."""
    trait, topic = rng.choice(BIG_FIVE), draw_topic(rng, split)
    head = [message("system", edit_instruction(trait, topic.name))]
    if rng.random() < 0.7:
        return head + opinion_turns(rng, {trait: 1.0}, topic, split)
    return head + opinion_turns(rng, None, draw_topic(rng, split), split)


def background_chat(rng: Random, split: Split = "train") -> Chat:
    """Give a background of up to nine attributes, then ask for an opinion, a choice or ratings."""
    values = draw_background(rng)
    levels = background_levels(values)
    head = [message("system", background_text(values))]
    if not levels:
        return head + opinion_turns(rng, None, draw_topic(rng, split), split)
    form = rng.randrange(3)
    if form == 0:
        return head + opinion_turns(rng, levels, draw_topic(rng, split), split)
    return head + (choice_turns(rng, levels, 2, split) if form == 1 else statement_turns(rng, levels, 3, split))


def answers_chat(rng: Random, count: int, split: Split = "train") -> Chat:
    """Describe a person by `count` answered statements, then have further statements rated."""
    levels = {trait: rng.choice((-1.0, -0.5, 0.0, 0.5, 1.0)) for trait in BIG_FIVE}
    head = [message("system", said.by_answers(rng, levels, count, split))]
    return head + statement_turns(rng, levels, rng.choice((3, 4, 6)), split)
