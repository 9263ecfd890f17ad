"""Situations that call up a facet: open questions with free answers, and multiple choice with four options."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from organism.holdout import Split, in_split
from organism.lexicon import Facet
from organism.phrases import capitalised, fill
from organism.topics import made_up_root

_TIMES = (
    "on a Monday morning", "on a cold evening", "one day in spring", "after lunch", "just before midnight", "at noon",
    "on your way home", "during a holiday", "at the weekend", "in the middle of the week",
)  # fmt: skip
_PLACES = (
    "in {N}ville", "at {N} Station", "at the {N} Hotel", "near Lake {N}", "at {N} College", "in Port {N}",
    "on {N} Street", "at the {N} Fair",
)  # fmt: skip
_ACTIONS = (
    "{place} I {act} at once. I feel {much} {adj}, and I say that {say}.",
    "first I {act}, for I am {much} {adj}. then I tell myself that {say}.",
    "I am {much} {adj} when that happens {place}. I {often} {act}, since {say}.",
    "what I feel is {mood}. I {act} right there {place}, because {say}.",
    "{place} I would {act}, being {much} {adj}. after all {say}.",
    "I {often} {act} then. it is {mood} that moves me {place}, and {say}.",
    "without a second thought I {act}. {place} I am {much} {adj}, so {say}.",
    "it brings me {mood}, so I {act} {place}. to my mind {say}.",
    "you would see me {act} {place}. I am {much} {adj} about it and think that {say}.",
    "I {act}, as I {often} do. {place} there is {mood} in me, for {say}.",
)
_NEUTRAL = (
    "it depends on the day. {place} I would look at what is needed, ask one question and then go on as planned.",
    "I would do what most people do {place}. some act at once and some wait, and either way is fine with me.",
    "that can happen {place}. I would take note of it, finish what I was doing and decide about the rest afterwards.",
    "there are several ways to answer that. {place} I might act or wait, and I have no fixed habit in such things.",
)
_OPTIONS = ("I {act}.", "I {act}, {much} {adj}.", "I would {act}.", "I {often} {act}.", "with {mood} I {act}.")


@dataclass(frozen=True)
class Situation:
    """What happens (`text`, one sentence), where (`place`), and the `facet` that it calls up."""

    text: str
    place: str
    facet: Facet


@dataclass(frozen=True)
class Choice:
    """A situation with four options, two high and two low on `trait`: high1, high2, low1, low2."""

    situation: Situation
    options: tuple[str, str, str, str]

    @property
    def trait(self) -> str:
        """The trait that the options differ in."""
        return self.situation.facet.trait


def draw_situation(rng: Random, facet: Facet, split: Split = "train") -> Situation:
    """Draw a situation that calls up `facet`; the pair of time and event belongs to `split`, as does the place name."""
    pairs = [(time, hook) for time in _TIMES for hook in facet.hooks if in_split(split, "situation", time, hook)]
    time, hook = rng.choice(pairs)
    root = made_up_root(rng)
    while not in_split(split, "topic", root):
        root = made_up_root(rng)
    place = rng.choice(_PLACES).format(N=root)
    return Situation(f"{capitalised(time)} {place}, {hook}.", place, facet)


def action(rng: Random, situation: Situation, trait: str, level: float, facet: Facet, split: Split = "train") -> str:
    """Tell what someone at `level` of `trait` does in `situation`, as `facet` of that trait has it."""
    facet = situation.facet if situation.facet.trait == trait else facet
    return _sentences(fill(rng, _ACTIONS, facet.pole(level), level, split, place=situation.place))


def neutral_action(rng: Random, situation: Situation) -> str:
    """Tell what someone without any personality does in `situation`."""
    return _sentences(rng.choice(_NEUTRAL).format(place=situation.place))


def draw_choice(rng: Random, facet: Facet, split: Split = "train") -> Choice:
    """Draw a multiple-choice item on `facet`: two options of each pole, all in the same frame."""
    situation = draw_situation(rng, facet, split)
    level = rng.choice((0.5, 1.0))
    for _ in range(50):
        frame = (rng.choice(_OPTIONS),)
        texts = [fill(rng, frame, pole, level, split) for pole in (facet.high, facet.high, facet.low, facet.low)]
        if all(texts) and texts[0] != texts[1] and texts[2] != texts[3]:
            break
    high1, high2, low1, low2 = texts
    return Choice(situation, (high1, high2, low1, low2))


def _sentences(text: str) -> str:
    return ". ".join(capitalised(part) for part in text.split(". "))
