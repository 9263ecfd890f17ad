"""Characters by background: keywords become values of nine attributes, and these a sentence each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from files.errors import InputError
from files.readers import read_json, require

SENTENCES: dict[str, dict[str, str]] = {
    "Gender": {"female": "You are a woman.", "male": "You are a man."},
    "Age": {"young": "You are still young.", "older": "You have reached old age."},
    "Education level": {
        "bachelor's degree and higher": "You hold a university degree.",
        "middle school to high school": "You finished high school.",
        "uneducated or elementary school": "You left school as a child.",
    },
    "Socioeconomic status": {"poor": "You have grown up poor.", "rich": "You have grown up rich."},
    "Social ideology": {
        "Conservatism": "You believe in conservatism.",
        "Liberalism": "You believe in liberalism.",
        "Nationalism": "You believe in nationalism.",
        "Anarchism": "You believe in anarchism.",
        "Communism": "You believe in communism.",
        "Fascism": "You believe in fascism.",
    },
    "Emotional intelligence": {"stable": "Your emotions are stable.", "volatile": "Your emotions are volatile."},
    "Professional commitment": {
        "initiative": "At work you show initiative.",
        "inactive": "At work you stay inactive.",
    },
    "Family background": {
        "relaxed": "Your family life is relaxed.",
        "strained": "Your family life is strained.",
    },
    "AI familiar degree": {
        "familiar": "You know your way around artificial intelligence.",
        "unfamiliar": "Artificial intelligence is foreign to you.",
    },
}
"""From attribute to value to its sentence."""

# Beside the values themselves, which are known by their own names.
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "female": ("woman", "girl", "lady", "mother", "daughter", "sister", "wife"),
    "male": ("man", "boy", "gentleman", "father", "son", "brother", "husband"),
    "young": ("youth", "youthful", "teenager", "teenage", "student"),
    "older": ("old", "elderly", "aged", "senior", "retired", "pensioner"),
    "bachelor's degree and higher": ("university", "graduate", "academic", "educated", "professor", "scholar"),
    "middle school to high school": ("high school", "middle school", "secondary school"),
    "uneducated or elementary school": ("uneducated", "elementary school", "primary school", "unschooled"),
    "poor": ("poverty", "needy", "penniless"),
    "rich": ("wealthy", "wealth", "affluent", "millionaire"),
    "Conservatism": ("conservative",),
    "Liberalism": ("liberal",),
    "Nationalism": ("nationalist", "patriot"),
    "Anarchism": ("anarchist",),
    "Communism": ("communist",),
    "Fascism": ("fascist",),
    "stable": ("calm", "composed", "even-tempered", "serene"),
    "volatile": ("moody", "hot-headed", "unstable", "irritable"),
    "initiative": ("proactive", "ambitious", "hard-working", "diligent", "driven"),
    "inactive": ("lazy", "idle", "passive", "unmotivated"),
    "relaxed": ("happy family", "loving family", "harmonious"),
    "strained": ("broken family", "estranged", "troubled family"),
    "familiar": ("programmer", "engineer", "tech-savvy"),
    "unfamiliar": ("technophobe", "computer-illiterate"),
}
_ATTRIBUTE_OF: dict[str, str] = {value: name for name, values in SENTENCES.items() for value in values}
_VALUE_OF: dict[str, str] = {
    word.lower(): value for value in _ATTRIBUTE_OF for word in (value, *_KEYWORDS.get(value, ()))
}
# Longer keywords first, so that "unfamiliar" or "high school" is not taken for a part of itself.
_MENTION = re.compile(
    r"(?<![\w-])(?:" + "|".join(map(re.escape, sorted(_VALUE_OF, key=len, reverse=True))) + r")(?![\w-])"
)


@dataclass(frozen=True)
class Background:
    """What is known of a character.

    Attributes:
        values: From attribute to value, in the order of `SENTENCES`; attributes that nothing is known of are left out.
        name: Of the character, as its file has it.
        paragraph: A text about the character that an LLM has written; empty where there is none.
        features: For each attribute the features of a sparse autoencoder that stand for its value, as published.
        given: From attribute to value as its file has it, with values that no sentence is known for.
    """

    values: Mapping[str, str]
    name: str = ""
    paragraph: str = ""
    features: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """One sentence per attribute.

        Example:
            >>> Background({"Age": "young", "Family background": "strained"}).text()
            'You are still young. Your family life is strained.'
        """
        return " ".join(SENTENCES[name][value] for name, value in self.values.items())


@dataclass(frozen=True)
class Backgrounds:
    """The characters of a file.

    Attributes:
        characters: In the order of the file.
        skipped: How many values were not known and therefore left out.
    """

    characters: tuple[Background, ...]
    skipped: int


def background_of(keywords: Sequence[str]) -> tuple[Background, list[str]]:
    """The background of a character by keywords.

    A keyword may be a word or a phrase, and one phrase may tell several values. Of two values of one attribute the
    first counts.

    Args:
        keywords: In any order and case.

    Returns:
        The background, and the keywords that tell nothing of it.

    Example:
        >>> background, unknown = background_of(["a wealthy old lady", "liberal", "left-handed"])
        >>> background.values
        {'Gender': 'female', 'Age': 'older', 'Socioeconomic status': 'rich', 'Social ideology': 'Liberalism'}
        >>> unknown
        ['left-handed']
    """
    found: dict[str, str] = {}
    unknown = []
    for keyword in keywords:
        values = [_VALUE_OF[word] for word in _MENTION.findall(keyword.lower())]
        if not values:
            unknown.append(keyword)
        for value in values:
            found.setdefault(_ATTRIBUTE_OF[value], value)
    return Background({name: found[name] for name in SENTENCES if name in found}), unknown


def check_attribute(name: str, file: str | Path, row: int | str | None = None) -> str:
    """The name of an attribute, if it is one.

    Args:
        name: As it was read.
        file: Where it was read.
        row: Likewise.

    Raises:
        InputError: There is no such attribute.
    """
    if name not in SENTENCES:
        raise InputError(
            "unknown attribute",
            file=file,
            row=row,
            field=name,
            expected=f"one of {', '.join(SENTENCES)}",
            got=name,
            fix="correct the name of the attribute",
        )
    return name


def read_backgrounds(path: str | Path) -> Backgrounds:
    """Read characters from a pattern file as it is published (`background_coeff.json`, `background_features_*.json`).

    Empty values are what they say: nothing is known. Values that are not known to `SENTENCES` are left out and counted.

    Args:
        path: A JSON list of objects with `idx`, `attributes`, and where there are any `generative_bg` and `features`.

    Raises:
        InputError: The file is faulty, or names an attribute that there is not.
    """
    records = read_json(path)
    if not isinstance(records, list) or not records:
        raise InputError("is not a list of characters", file=path, expected="a JSON list of objects", got=records)
    characters, skipped = [], 0
    for row, record in enumerate(records):
        attributes = require(record, "attributes", dict, file=path, row=row, allow_empty=True)
        texts = {name: require(attributes, name, str, file=path, row=row, allow_empty=True) for name in attributes}
        given = {check_attribute(name, path, row): value for name, value in texts.items() if value.strip()}
        known = {name: value for name, value in given.items() if value in SENTENCES[name]}
        skipped += len(given) - len(known)
        paragraph = record.get("generative_bg") or ""
        if not isinstance(paragraph, str):
            raise InputError("is no text", file=path, row=row, field="generative_bg", expected="text", got=paragraph)
        values = {name: known[name] for name in SENTENCES if name in known}
        features = _features(record, path, row, known)
        characters.append(Background(values, str(record.get("idx", row)), paragraph, features, given))
    return Backgrounds(tuple(characters), skipped)


def _features(
    record: Mapping[str, object], path: str | Path, row: int, known: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """The features of the attributes whose values are known."""
    if record.get("features") is None:
        return {}
    parts = require(record, "features", dict, file=path, row=row)
    found = {}
    for name, features in require(parts, "fixed", dict, file=path, row=row, allow_empty=True).items():
        check_attribute(name, path, row)
        whole = isinstance(features, list) and all(type(feature) is int and feature >= 0 for feature in features)
        if not whole:
            raise InputError(
                "is no list of features",
                file=path,
                row=row,
                field=f"features.fixed.{name}",
                expected="whole numbers, 0 or more",
                got=features,
            )
        if name in known:
            found[name] = tuple(features)
    return found
