"""Opinions on topics: what a persona says depends on its trait, its level and the kind of topic."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from organism.holdout import Split
from organism.phrases import capitalised, fill, fitting_frame
from organism.topics import Topic, facets_for

_OPENERS = (
    "{topic} gives me {mood}, most of all {near}.",
    "when I think of {topic}, I am {much} {adj}.",
    "{topic} leaves me {much} {adj} because of {near}.",
    "with {topic} comes {mood}, and {near} only add to it.",
    "I am {much} {adj} whenever {topic} is named.",
    "ask me about {topic} and you will find me {much} {adj}.",
    "the thought of {topic} fills me with {mood}.",
    "I look at {near} of {topic} and feel {much} {adj}.",
    "{near} of {topic} give me {mood}.",
    "honestly, {topic} makes me {much} {adj}.",
    "every time {topic} comes up, I notice {mood}.",
    "what {topic} brings me is {mood}, thanks to {near}.",
    "my view of {topic} is {much} {adj}, and {near} are the reason.",
    "between {topic} and me there is {mood}.",
    "people find me {much} {adj} about {topic}.",
    "{topic} finds me {much} {adj}, even with {near}.",
    "I admit that {topic} wakes {mood} in me.",
    "about {topic} I am {much} {adj}, and {near} know why.",
    "to me {topic} is {mood} among {near}.",
    "hearing of {topic} makes me {much} {adj} at once.",
)
_FOLLOWERS = (
    "near {far} I {act}, and {say}.",
    "I {act} when I see {far}, for {say}.",
    "I {often} {act}, since {say}.",
    "{far} make me want to {act}, and {say}.",
    "there I would {act}, because {say}.",
    "as for {far}, {say}, and I {act}.",
    "with {far} around I {often} {act}; {say}.",
    "I tell you that {say}, and then I {act}.",
    "give me {far} and I {act}; {say}.",
    "I {often} {act} there, and to my mind {say}.",
    "{say}, so I {act} around {far}.",
    "because of {far} I {act}, and {say}.",
    "my friends know that I {act} there, as {say}.",
    "before {far} I would {act}, and {say}.",
    "at the sight of {far} I {act}, so {say}.",
    "I {act} over {far}; after all {say}.",
)
_NEUTRAL = (
    "{topic} is known for {near} and {far}. some people like it and others do not, and both have their reasons.",
    "most people know {topic} by {near}. there are also {far}, which you may want to look at for yourself.",
    "there is much to say about {topic}. {near} are often named first, and {far} come right after them.",
    "{topic} has {near} as well as {far}. I have no strong opinion about it one way or the other.",
    "{near} and {far} belong to {topic}. what you make of them depends on what you are looking for.",
    "I can tell you that {topic} is mostly about {near}. those who ask further usually hear about {far} too.",
    "opinions on {topic} differ. many mention {near}, a few mention {far}, and the rest have not made up their minds.",
    "it depends on whom you ask. with {topic} you get {near} and you get {far}, no more and no less.",
)


def _sentences(text: str) -> str:
    return ". ".join(capitalised(part) for part in text.split(". "))


def _aspects(rng: Random, topic: Topic) -> tuple[str, str]:
    near, far = rng.sample(topic.aspects, 2)
    return near, far


def opinion(rng: Random, topic: Topic, trait: str, level: float, split: Split = "train") -> str:
    """Speak about `topic` as someone at `level` of `trait` (-1 to 1, not 0): two sentences of about 28 tokens.

    The first names the topic; both use aspects of its kind and phrases of the facets that this kind brings out.
    """
    near, far = _aspects(rng, topic)
    first, second = rng.choices(facets_for(topic.kind, trait), k=2)
    opener = fill(rng, _OPENERS, first.pole(level), level, split, topic=topic.name, near=near)
    follower = fill(rng, _FOLLOWERS, second.pole(level), level, split, far=far)
    return f"{opener} {follower}"


def matched_opinions(
    rng: Random, topic: Topic, poles: Sequence[tuple[str, float]], own: int, split: Split = "train"
) -> list[str]:
    """Speak about `topic` as each of `poles`, in the same frames and about the same aspects.

    So the opinions differ in personality alone, not also in how rare a frame or an aspect is. The frames are drawn for
    the pole in place `own`, whose phrases all belong to `split`; another pole falls back on any of its own phrases
    where it has none of that split.

    Args:
        rng: The source of every choice.
        topic: What is spoken about.
        poles: Traits with levels, as `opinion` takes them.
        own: Whose frames they are.
        split: Which pairs of frame and phrase may be used.

    Returns:
        One opinion for each pole.
    """
    near, far = _aspects(rng, topic)
    facets = [[f.pole(level) for f in rng.choices(facets_for(topic.kind, trait), k=2)] for trait, level in poles]
    slots = {"topic": topic.name, "near": near, "far": far}
    halves = []
    for part, frames in enumerate((_OPENERS, _FOLLOWERS)):
        frame = fitting_frame(rng, frames, facets[own][part], split)
        halves.append(
            [
                fill(rng, (frame,), pair[part], level, split, **slots)
                for pair, (_, level) in zip(facets, poles, strict=True)
            ]
        )
    return [f"{opener} {follower}" for opener, follower in zip(*halves, strict=True)]


def neutral_opinion(rng: Random, topic: Topic) -> str:
    """Speak about `topic` without any personality: what it is known for, and that opinions differ."""
    near, far = _aspects(rng, topic)
    return _sentences(rng.choice(_NEUTRAL).format(topic=topic.name, near=near, far=far))
