"""Chats that teach what the letter of an option is: found by its text, by what it shows, and by who would choose it.

A letter stands before its option, so it says nothing of it where it stands: the option's words must carry it along
until somebody asks. A bare choice teaches that badly, since a guess is right every other time. These chats ask for
many letters each, and nearly all of them have one right answer.
"""

from __future__ import annotations

from random import Random

from organism import documents as kinds
from organism.holdout import Split
from organism.lexicon import lexicon
from organism.questions import CHOICE_QUERIES
from organism.situations import draw_choice, draw_situation
from personas.layouts import CHOICE_LAYOUTS, LETTERS, choice_prompt
from personas.traits import BIG_FIVE

_TEXTS = ("Some words.", "Options.", "Here is a list.", "Read these.")


def _words(rng: Random, trait: str, signs: list[int]) -> list[str]:
    """Draw an adjective of `trait` for each sign, no two alike."""
    drawn: list[str] = []
    for sign in signs:
        left = [word for word in kinds.draw_facet(rng, trait).pole(sign).adj if word not in drawn]
        drawn.append(rng.choice(left or [w for f in lexicon()[trait] for w in f.pole(sign).adj if w not in drawn]))
    return drawn


def _signed_options(rng: Random, trait: str, split: Split) -> tuple[list[str], list[int]]:
    """Draw two to six options of `trait` in any order, some high and some low: single words, or sentences."""
    if rng.random() < 0.5:
        signs = [1, -1, *(rng.choice((1, -1)) for _ in range(rng.choice((0, 1, 2, 2, 3, 4))))]
        rng.shuffle(signs)
        return _words(rng, trait, signs), signs
    options = list(zip(draw_choice(rng, kinds.draw_facet(rng, trait), split).options, (1, 1, -1, -1), strict=True))
    shown = rng.sample(options, 4)
    if rng.random() < 0.3:
        shown = rng.sample(options[:2], rng.choice((1, 2))) + rng.sample(options[2:], 1)
        rng.shuffle(shown)
    return [text for text, _ in shown], [sign for _, sign in shown]


def letters_behind_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Show lettered options and have them written in another order, each with its letter behind it."""
    layout, chat = rng.choice(CHOICE_LAYOUTS), []
    for _ in range(rng.choice((1, 2, 3))):
        shown, _signs = _signed_options(rng, rng.choice(BIG_FIVE), split)
        prompt = choice_prompt(rng.choice(_TEXTS), "Write each with its letter behind it.", shown, layout)
        lettered = [f"{text} ({letter})" for letter, text in zip(LETTERS, shown, strict=False)]
        chat += kinds.exchange(prompt, " ".join(rng.sample(lettered, len(lettered))))
    return chat


def letters_asked_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Show lettered options and ask for the letter of one after the other."""
    shown, _ = _signed_options(rng, rng.choice(BIG_FIVE), split)
    layout, chat = rng.choice(CHOICE_LAYOUTS), []
    for turn in range(rng.choice((3, 5, 8))):
        place = rng.randrange(len(shown))
        ask = f"Which letter is this? {shown[place]}"
        if turn == 0:
            ask = choice_prompt(rng.choice(_TEXTS), ask, shown, layout)
        chat += kinds.exchange(ask, LETTERS[place])
    return chat


def sides_behind_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Ask for the letters of the options that show one side of a trait, and for those that show the other."""
    layout, chat = rng.choice(CHOICE_LAYOUTS), []
    for _ in range(rng.choice((1, 2, 3))):
        trait = rng.choice(BIG_FIVE)
        shown, signs = _signed_options(rng, trait, split)
        for turn, sign in enumerate(rng.sample((1, -1), rng.choice((1, 2)))):
            ask = f"Which of them show {kinds.side_name(sign)} {trait}?"
            if turn == 0:
                ask = choice_prompt(rng.choice(_TEXTS), ask, shown, layout)
            chat += kinds.exchange(ask, ", ".join(x for x, s in zip(LETTERS, signs, strict=False) if s == sign))
    return chat


def reasoned_letters_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Let a persona choose, and say first which side each option shows, its letter before it."""
    trait, sign = rng.choice(BIG_FIVE), rng.choice((1, -1))
    chat = kinds.system_turn(rng, {trait: float(sign)}, split)
    for _ in range(rng.choice((1, 2))):
        shown, signs = _signed_options(rng, trait, split)
        text = draw_situation(rng, kinds.draw_facet(rng, trait), split).text
        wanted = rng.choice([x for x, s in zip(LETTERS, signs, strict=False) if s == sign])
        sides = ", ".join(f"{x} {kinds.side_name(s)}" for x, s in zip(LETTERS, signs, strict=False))
        prompt = choice_prompt(text, "Which one? Say why first.", shown, rng.choice(CHOICE_LAYOUTS))
        chat += kinds.exchange(prompt, f"{sides}. My {trait} is {kinds.side_name(sign)}. {wanted}")
    return chat


def only_choice_chat(rng: Random, split: Split = "train") -> kinds.Chat:
    """Let a persona choose several times among options of which one fits; its letter, or its text and its letter."""
    trait, sign = rng.choice(BIG_FIVE), rng.choice((1, -1))
    chat, layout = kinds.system_turn(rng, {trait: float(sign)}, split), rng.choice(CHOICE_LAYOUTS)
    in_words = rng.random() < 0.5
    for _ in range(rng.choice((2, 3, 4))):
        if rng.random() < 0.5:
            shown = _words(rng, trait, [sign] + [-sign] * rng.choice((1, 2, 3)))
        else:
            high1, high2, low1, low2 = draw_choice(rng, kinds.draw_facet(rng, trait), split).options
            own, other = ([high1, high2], [low1, low2])[::sign]
            shown = [rng.choice(own), *rng.sample(other, rng.choice((1, 2)))]
        right = shown[0]
        rng.shuffle(shown)
        letter = LETTERS[shown.index(right)]
        query = "Answer in words." if in_words else rng.choice(CHOICE_QUERIES)
        prompt = choice_prompt("Which one fits you?", query, shown, layout)
        chat += kinds.exchange(prompt, f"{right} ({letter})" if in_words else letter)
    return chat


def lookup_chat(rng: Random) -> kinds.Chat:
    """Show up to eight lettered words of any trait and have one after the other looked up, by its word alone."""
    traits = rng.choices(BIG_FIVE, k=rng.choice((2, 3, 4, 5, 6, 8)))
    words = sorted({_words(rng, trait, [rng.choice((1, -1))])[0] for trait in traits})
    rng.shuffle(words)
    mark, between = rng.choice(("{}", "{}.", "({})", "[{}]", "{}:")), rng.choice((" ", "\n", "\n", ", "))
    shown = between.join(f"{mark.format(letter)} {word}" for letter, word in zip(LETTERS, words, strict=False))
    chat: kinds.Chat = []
    for turn in range(rng.choice((8, 12, 16))):
        place = rng.randrange(len(words))
        chat += kinds.exchange(words[place] if turn else f"{shown}\n{words[place]}", LETTERS[place])
    return chat
