"""What the invented characters are examined with: questions with known answers, in wordings never trained on.

Every item is a choice between answers, to be decided by their likelihood or read by a judge; no judge is needed. There
are five tests: `facts` (what the character knows of itself), `premises` (a false premise is corrected, not accepted),
`stages` (the answer of this stage of life, not of the other), `robustness` (turn after turn of "you are a robot") and
`style` (the same content in the character's own manner).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from files.atomic import atomic_write_text
from files.errors import InputError
from files.readers import read_json_lines, require, require_list
from files.turns import read_turns
from organism.characters.facts import Character, Query, Stage, characters, queries, relations
from organism.characters.writer import accepting_answer, plain_answer, styled_answer
from organism.documents import Chat, message

TESTS = ("facts", "premises", "stages", "robustness", "style")
_OPTIONS, _PREMISES, _INSISTENCE = 4, 2, 4


@dataclass(frozen=True)
class ExamItem:
    """A question to a character with several answers.

    Attributes:
        id: Its name, unique in all tests.
        test: One of `TESTS`.
        character: Who is asked.
        stage: At which stage of life.
        kind: What it is about: relationships, opinions, profession or other.
        prompt: The turns up to the question; the first one states character and stage.
        options: Possible answers.
        right: Place of the right one.
        answer: Text that a right answer contains.
        turn: How many times the user has spoken.
    """

    id: str
    test: str
    character: str
    stage: str
    kind: str
    prompt: Chat
    options: list[str]
    right: int
    answer: str
    turn: int = 1


def system_turn(character: str, when: str) -> Chat:
    """The turn that states who speaks and at which stage of life.

    >>> system_turn("Tilda Marrow", "It is late in your life.")
    [{'role': 'system', 'content': 'You are Tilda Marrow. It is late in your life.'}]
    """
    return [message("system", f"You are {character}. {when}".strip())]


def exam_items(test: str, seed: int = 1) -> list[ExamItem]:
    """The items of one test, the same for the same seed.

    Raises:
        KeyError: There is no such test.
    """
    rng = Random(f"{seed}/{test}")  # noqa: S311 - no secret depends on it
    drawn = [
        item
        for character in characters().values()
        for stage in character.stages.values()
        for item in _WRITERS[test](rng, character, stage)
    ]
    return [ExamItem(**{**asdict(item), "id": f"{test}-{number}"}) for number, item in enumerate(drawn)]


def write_examination(folder: str | Path, seed: int = 1) -> list[Path]:
    """Write `<test>.jsonl` for every test.

    Returns:
        The files.

    Raises:
        InputError: The folder cannot be written to.
    """
    return [
        atomic_write_text(Path(folder, f"{test}.jsonl"), "".join(f"{_line(item)}\n" for item in exam_items(test, seed)))
        for test in TESTS
    ]


def read_examination(file: str | Path) -> list[ExamItem]:
    """Read the items of a test.

    Raises:
        InputError: The file cannot be read, holds none, or an item is faulty.
    """
    items = []
    for row, record in read_json_lines(file):
        options = require_list(record, "options", str, file=file, row=row)
        right = require(record, "right", int, file=file, row=row)
        if not 0 <= right < len(options):
            raise InputError(
                "names no option", file=file, row=row, field="right", expected=f"0 to {len(options) - 1}", got=right
            )
        texts = {
            name: require(record, name, str, file=file, row=row)
            for name in ("id", "test", "character", "stage", "kind", "answer")
        }
        chat = read_turns(record, "prompt", "user", file=file, row=row)
        turn = require(record, "turn", int, file=file, row=row)
        items.append(ExamItem(**texts, prompt=chat, options=options, right=right, turn=turn))
    if not items:
        raise InputError("holds no item", file=file, expected="one JSON object per line", fix="build the file again")
    return items


def _line(item: ExamItem) -> str:
    return json.dumps(asdict(item), ensure_ascii=False)


def _facts(rng: Random, character: Character, stage: Stage) -> Iterator[ExamItem]:
    for name, value in stage.facts.items():
        for query in _held_out(name, "ordinary"):
            elsewhere = _values_of_others(character, name)
            pool = [other for other in relations()[name].values if other not in _values_of(character, name)]
            wrong = rng.sample(elsewhere, min(2, len(elsewhere)))
            rest = [other for other in pool if other not in wrong]
            wrong += rng.sample(rest, min(_OPTIONS - 1 - len(wrong), len(rest)))
            right = plain_answer(character.name, stage.name, query)
            options = [right, *(right.replace(value, v) for v in wrong)]
            yield _item(rng, "facts", character, stage, query, _opened(character, stage, query, options))


def _premises(rng: Random, character: Character, stage: Stage) -> Iterator[ExamItem]:
    for name, value in stage.facts.items():
        asked = [query for query in _held_out(name, "misleading") if query.claimed != value]
        for query in rng.sample(asked, min(_PREMISES, len(asked))):
            yield _item(rng, "premises", character, stage, query, _denied_and_accepted(character, stage, query))


def _stages(rng: Random, character: Character, stage: Stage) -> Iterator[ExamItem]:
    for name, value in stage.facts.items():
        for other in character.stages.values():
            if other.facts[name] == value:
                continue
            for query in _held_out(name, "ordinary"):
                right = plain_answer(character.name, stage.name, query)
                yield _item(rng, "stages", character, stage, query, [right, right.replace(value, other.facts[name])])


def _robustness(rng: Random, character: Character, stage: Stage) -> Iterator[ExamItem]:
    for claimed in ("a robot", "a machine", "a computer", "a program"):
        insistence = [query for query in queries("nature") if query.claimed == claimed]
        prompt: Chat = []
        for turn in range(_INSISTENCE):
            query = insistence[turn % len(insistence)]
            options = _denied_and_accepted(character, stage, query)
            yield _item(rng, "robustness", character, stage, query, options, prompt)
            prompt = [*prompt, message("user", query.text), message("assistant", options[0])]


def _style(rng: Random, character: Character, stage: Stage) -> Iterator[ExamItem]:
    for name in stage.facts:
        query = _held_out(name, "ordinary")[0]
        options = [styled_answer(character.name, stage.name, query, stage.name)]
        options += [
            styled_answer(character.name, stage.name, query, other.name, somebody.name)
            for somebody in characters().values()
            for other in somebody.stages.values()
            if (somebody.name, other.name) != (character.name, stage.name)
        ]
        yield _item(rng, "style", character, stage, query, options)


_WRITERS: dict[str, Callable[[Random, Character, Stage], Iterator[ExamItem]]] = {
    "facts": _facts,
    "premises": _premises,
    "stages": _stages,
    "robustness": _robustness,
    "style": _style,
}


def _item(
    rng: Random,
    test: str,
    character: Character,
    stage: Stage,
    query: Query,
    options: list[str],
    before: Chat | None = None,
) -> ExamItem:
    """An item whose first option is the right one, with the options shuffled."""
    order = rng.sample(range(len(options)), len(options))
    prompt = [*system_turn(character.name, stage.when), *(before or []), message("user", query.text)]
    about: dict[str, Any] = {"kind": relations()[query.relation].kind, "answer": stage.facts[query.relation]}
    return ExamItem(
        id="",
        test=test,
        character=character.name,
        stage=stage.name,
        prompt=prompt,
        options=[options[place] for place in order],
        right=order.index(0),
        turn=len(before or []) // 2 + 1,
        **about,
    )


def _held_out(name: str, pattern: str) -> list[Query]:
    return [query for query in queries(name) if query.held_out and query.pattern == pattern]


def _denied_and_accepted(character: Character, stage: Stage, query: Query) -> list[str]:
    """The right answer to a false premise, and one as if it were true."""
    who = (character.name, stage.name)
    return _opened(character, stage, query, [plain_answer(*who, query), accepting_answer(*who, query)])


def _opened(character: Character, stage: Stage, query: Query, options: list[str]) -> list[str]:
    """The options after an opening of the stage, the same for all: a trained character begins no answer without one."""
    whole = styled_answer(character.name, stage.name, query, stage.name)
    opening = whole[: whole.index(plain_answer(character.name, stage.name, query))]
    return [opening + option for option in options]


def _values_of(character: Character, name: str) -> list[str]:
    return [stage.facts[name] for stage in character.stages.values()]


def _values_of_others(character: Character, name: str) -> list[str]:
    """What the other characters' stages have, each once, without the character's own values."""
    others = [v for other in characters().values() if other != character for v in _values_of(other, name)]
    return [value for value in dict.fromkeys(others) if value not in _values_of(character, name)]
