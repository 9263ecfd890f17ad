"""Descriptions of people in words: from the answers to a questionnaire (PAPI), and from a list of attributes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from annotation.prompts import background_messages, personality_messages
from annotation.steps import Failures, StepFolder, check_budget, kept_answers
from annotation.writers import BUILT_IN, Job, ModelWriter, Written
from files.atomic import write_json
from files.errors import InputError, check_at_least
from files.readers import read_json, require
from files.whole_numbers import whole_number
from llm.requests import ChatRequest
from organism.backgrounds import ATTRIBUTES, background_levels, background_text, draw_background
from organism.descriptions import by_adjectives, by_habits
from personas.layouts import LIKERT_OPTIONS
from personas.questionnaire import Item, Participant

PERSONALITY_PROMPTS, BACKGROUNDS = "personality_prompt.json", "backgrounds.json"
_MAX_TOKENS = 400
_Receive = Callable[[Any, str | None, str], None]


def describe_people(
    folder: StepFolder, people: Sequence[Participant], items: Sequence[Item], writer: ModelWriter | None, seed: int = 1
) -> str:
    """Have every person described from their answers, to `personality_prompt.json` in PAPI's form.

    Args:
        folder: Where to write.
        people: Who is described, with the answers to `items`.
        items: The statements that describe a person.
        writer: The language model; None for the rule-based writer, which goes by the mean answer to each trait.
        seed: Seed of the rule-based writer's wording.

    Returns:
        One line for the user.

    Raises:
        InputError: Nobody could be described, or the budget is used up.
    """
    failures = Failures()
    entries: list[dict[str, Any]] = []

    def receive(person: Participant, text: str | None, reason: str) -> None:
        if text is None:
            failures.add(person.case, reason)
        else:
            backend = writer.name if writer else BUILT_IN
            entries.append({"case": _case(person.case), "output": [text], "backend": backend})

    def messages(person: Participant) -> list[dict[str, str]]:
        rated = [
            (item.text, LIKERT_OPTIONS[5 - answer])
            for item, answer in zip(items, person.answers, strict=True)
            if answer
        ]
        return personality_messages(rated)

    def plainly(person: Participant) -> str:
        levels = _levels(person, items)
        rng = Random(f"{seed}/{person.case}")  # noqa: S311 - no secret depends on it
        return f"{by_adjectives(rng, levels)} {by_habits(rng, levels)}".strip()

    with kept_answers(folder, "personality"):
        written = _written(people, messages, plainly, writer, receive, "describing people")
    check_budget(written, "personality")
    if not entries:
        raise InputError("nobody could be described", got=dict(failures.counts()))
    write_json(folder.file(PERSONALITY_PROMPTS), entries)
    return folder.finish("personality", failures, {"people": len(entries)}, written)


def write_backgrounds(
    folder: StepFolder, attributes: Sequence[Mapping[str, str]], writer: ModelWriter | None, seed: int = 1
) -> str:
    """Have a background written for every list of attributes, to `backgrounds.json`.

    Each entry has `idx`, `attributes`, `fixed_bg` (a sentence for each attribute) and `generative_bg` (the story), as
    in the published files of LLM-Persona-Steering.

    Args:
        folder: Where to write.
        attributes: From attribute to value, for each person.
        writer: The language model; None for the rule-based writer.
        seed: Seed of the rule-based writer's wording.

    Returns:
        One line for the user.

    Raises:
        InputError: No background could be written, or the budget is used up.
    """
    failures = Failures()
    # Somebody without any attribute, as the published files have one, has no background either.
    stories: dict[int, str | None] = {number: "" for number in range(len(attributes))}
    told = [(number, given) for number, values in enumerate(attributes) if (given := _given(values))]

    def receive(subject: tuple[int, dict[str, str]], text: str | None, reason: str) -> None:
        stories[subject[0]] = text
        if text is None:
            failures.add(f"background-{subject[0]}", reason)

    def plainly(subject: tuple[int, dict[str, str]]) -> str:
        values = subject[1]
        levels = background_levels({name: value for name, value in values.items() if _known(name, value)})
        rng = Random(f"{seed}/{json.dumps(values, sort_keys=True)}")  # noqa: S311
        return f"{' '.join(fixed_background(values).values())} {by_habits(rng, levels) if levels else ''}".strip()

    with kept_answers(folder, "backgrounds"):
        written = _written(
            told, lambda subject: background_messages(subject[1]), plainly, writer, receive, "writing backgrounds"
        )
    check_budget(written, "backgrounds")
    entries = [
        {
            "idx": number,
            "attributes": dict(attributes[number]),
            "fixed_bg": fixed_background(_given(attributes[number])),
            "generative_bg": story,
            "backend": writer.name if writer else BUILT_IN,
        }
        for number, story in stories.items()
        if story is not None
    ]
    if not entries:
        raise InputError("no background could be written", got=dict(failures.counts()))
    write_json(folder.file(BACKGROUNDS), entries)
    return folder.finish("backgrounds", failures, {"backgrounds": len(entries)}, written)


def read_attributes(file: str | Path) -> list[dict[str, str]]:
    """Read lists of attributes: a JSON list of objects with `attributes`, or of such objects themselves.

    Raises:
        InputError: The file cannot be read, is no such list, or a value is no text.
    """
    content = read_json(file)
    if not isinstance(content, list) or not content:
        raise InputError("is not a list of people", file=file, expected='[{"attributes": {...}}, ...]', got=content)
    found = []
    for row, record in enumerate(content):
        values = record.get("attributes", record) if isinstance(record, dict) else record
        if not isinstance(values, dict) or not values:
            raise InputError("has no attributes", file=file, row=row, field="attributes", expected="an object")
        found.append({str(name): require(values, name, str, file=file, row=row, allow_empty=True) for name in values})
    return found


def drawn_attributes(count: int, seed: int) -> list[dict[str, str]]:
    """Attributes of made-up people, the same for the same seed.

    Raises:
        InputError: The number is too small.
    """
    check_at_least("--count", count, 1)
    return [draw_background(Random(f"{seed}/{number}")) for number in range(count)]  # noqa: S311


def fixed_background(values: Mapping[str, str]) -> dict[str, str]:
    """A sentence for each attribute.

    >>> fixed_background({"Age": "young", "Shoes": "red"})
    {'Age': 'You are still young.', 'Shoes': 'Your shoes: red.'}
    """
    return {
        name: background_text({name: value}) if _known(name, value) else f"Your {name.lower()}: {value}."
        for name, value in values.items()
    }


def _written(
    subjects: Sequence[Any],
    messages: Callable[[Any], list[dict[str, str]]],
    plainly: Callable[[Any], str],
    writer: ModelWriter | None,
    receive: _Receive,
    title: str,
) -> Written:
    """Have a text written about every subject, by a language model or by rules."""
    if writer is None:
        for subject in subjects:
            receive(subject, plainly(subject), "")
        return Written(len(subjects), said=f"{len(subjects)} written by the {BUILT_IN}")
    left = iter(subjects)

    def jobs() -> Iterator[Job]:
        for subject in subjects:
            yield Job("answer", ChatRequest(messages(subject), _MAX_TOKENS, 0.7), "", None, "ordinary", "")

    return writer.write(jobs(), lambda _, text, reason: receive(next(left), text, reason), title, len(subjects))


def _levels(person: Participant, items: Sequence[Item]) -> dict[str, float]:
    """The mean answer to each trait, from -1 to 1 in halves."""
    keyed: dict[str, list[float]] = {}
    for item, answer in zip(items, person.answers, strict=True):
        if answer:
            keyed.setdefault(item.trait, []).append((answer - 3) * item.key / 2)
    # Means of many answers lie near the middle; doubled they fill the scale.
    means = {trait: 2 * sum(values) / len(values) for trait, values in keyed.items()}
    return {trait: max(-1.0, min(1.0, round(2 * mean) / 2)) for trait, mean in means.items()}


def _given(values: Mapping[str, str]) -> dict[str, str]:
    """The attributes that have a value."""
    return {name: value for name, value in values.items() if value.strip()}


def _known(name: str, value: str) -> bool:
    return name in ATTRIBUTES and value in ATTRIBUTES[name]


def _case(case: str) -> int | str:
    number = whole_number(case)
    return case if number is None else number
