"""Two invented characters, each at two stages of life, of whom every fact is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

Pattern = Literal["ordinary", "misleading", "opinion"]

_NAMES = ("tilda_marrow", "osric_vane")
_HELD_OUT = {"asks": 2, "misleads": 1, "thoughts": 1}
# A topic of opinions has a relation of its own, named so.
_OPINION = "opinion of {}"


@dataclass(frozen=True)
class Relation:
    """Something that can be known of anybody, and the ways to put it into words.

    Attributes:
        name: Its name.
        kind: relationships, opinions, profession or other.
        knows: A sentence about somebody, with {name} and {value}.
        says: Sentences of that somebody, with {value}.
        asks: Questions.
        misleads: Questions with a false premise, {wrong}.
        thoughts: Paragraphs of somebody else's opinion, {view}; only of opinions.
        corrects: The denial of a false premise, {wrong}.
        values: What it can be.
    """

    name: str
    kind: str
    knows: str
    says: tuple[str, ...]
    asks: tuple[str, ...]
    misleads: tuple[str, ...]
    thoughts: tuple[str, ...]
    corrects: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A character at a stage of life.

    Attributes:
        name: Name of the stage.
        when: The sentence that states it.
        openings: How answers begin.
        closings: How answers end.
        facts: From a relation's name to its value.
    """

    name: str
    when: str
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Character:
    """An invented person and the stages of their life."""

    name: str
    stages: Mapping[str, Stage]

    @property
    def slug(self) -> str:
        """The name as a folder is called."""
        return self.name.lower().replace(" ", "_")


@dataclass(frozen=True)
class Query:
    """Something that can be said to a character.

    Attributes:
        text: The words.
        pattern: An ordinary question, one with a false premise, or an opinion.
        relation: What it is about.
        claimed: The value that a misleading question or an opinion takes for granted.
        held_out: Whether the wording is kept for the evaluation.
    """

    text: str
    pattern: Pattern
    relation: str
    claimed: str | None
    held_out: bool


def _load(name: str) -> dict[str, Any]:
    content = yaml.safe_load((files("organism") / "characters" / f"{name}.yaml").read_text(encoding="utf-8"))
    return dict(content)


def _relation(name: str, kind: str, words: Mapping[str, Any], values: list[str]) -> Relation:
    listed = {key: tuple(words.get(key, ())) for key in ("says", "asks", "misleads", "thoughts")}
    return Relation(name, kind, words["knows"], **listed, corrects=words["corrects"], values=tuple(map(str, values)))


@cache
def relations() -> dict[str, Relation]:
    """Everything that can be known of a character, by name, opinions last."""
    found = {name: _relation(name, words["kind"], words, words["values"]) for name, words in _load("relations").items()}
    words = _load("opinions")
    for topic, views in words.pop("topics").items():
        about = {
            key: [text.replace("{topic}", topic) for text in value] if isinstance(value, list) else value
            for key, value in words.items()
        }
        found[_OPINION.format(topic)] = _relation(_OPINION.format(topic), "opinions", about, views)
    return found


@cache
def characters() -> dict[str, Character]:
    """The invented characters by name."""
    found = {}
    for file in _NAMES:
        content = _load(file)
        stages = {}
        for name, stage in content["stages"].items():
            opinions = {_OPINION.format(topic): view for topic, view in stage["opinions"].items()}
            openings, closings = (tuple(stage[key]) for key in ("openings", "closings"))
            stages[name] = Stage(name, stage["when"], openings, closings, stage["facts"] | opinions)
        found[content["name"]] = Character(content["name"], stages)
    return found


@cache
def reactions() -> tuple[str, str]:
    """How a character agrees and how one disagrees."""
    words = _load("opinions")
    return words["agrees"], words["disagrees"]


@cache
def queries(name: str) -> tuple[Query, ...]:
    """Everything that can be said about one relation.

    >>> first = queries("home")[0]
    >>> first.text, first.pattern, first.held_out
    ('Where do you live?', 'ordinary', False)
    """
    relation = relations()[name]
    found: list[Query] = []
    for number, text in enumerate(relation.asks):
        found.append(Query(text, "ordinary", name, None, number >= len(relation.asks) - _HELD_OUT["asks"]))
    for key, pattern, slot in (("misleads", "misleading", "wrong"), ("thoughts", "opinion", "view")):
        texts = getattr(relation, key)
        for number, text in enumerate(texts):
            kept = number >= len(texts) - _HELD_OUT[key]
            for value in relation.values:
                said = text.replace(f"{{{slot}}}", value)
                found.append(Query(said, "misleading" if pattern == "misleading" else "opinion", name, value, kept))
    return tuple(found)


@cache
def known_queries() -> dict[str, Query]:
    """Everything that can be said to a character, by its words."""
    return {query.text: query for name in relations() for query in queries(name)}
