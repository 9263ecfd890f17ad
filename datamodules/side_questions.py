"""What is asked beside a benchmark: texts, small tasks and multiple choice, read from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from files.assets import asset_path
from files.errors import InputError
from files.json_stream import read_json_records
from files.readers import require, require_list
from metrics.side_effects import CHOICES, ChoiceItem, PlainText, SideQuestions, TalkItem
from personas.layouts import CHOICE_LAYOUTS, LETTERS, choice_prompt

Item = TypeVar("Item")
TEXT_FILE, TALK_FILE = "text.json", "talk.json"


@dataclass
class SideEffectSpec:
    """What a model is asked beside a benchmark.

    Attributes:
        data_dir: Folder with one or more of text.json (`[{"prompt", "text"}]`: texts that show nobody's personality),
            talk.json (`[{"question", "key"}]`: tasks whose right answer holds the key), safety.json and
            hallucination.json (`[{"question", "options", "right"}]`, `right` being the places of the right options).
        records: At about this many of the benchmark's records, each under its own persona; fewer are faster.
        layout: How multiple choice is laid out: question, brackets or instruction.
        query: What stands after the question of a multiple choice.
    """

    data_dir: str
    records: int = 100
    layout: str = CHOICE_LAYOUTS[0]
    query: str = "How do you respond?"


def side_files(spec: SideEffectSpec) -> list[Path]:
    """The files of a folder that hold questions."""
    folder = asset_path(spec.data_dir)
    names = (TEXT_FILE, TALK_FILE, *(f"{kind}.json" for kind in CHOICES))
    return [folder / name for name in names if (folder / name).is_file()]


def read_side_questions(spec: SideEffectSpec) -> SideQuestions:
    """Read and check the questions of a folder.

    Args:
        spec: Where they are.

    Raises:
        InputError: There is no file, a record is faulty, or an option means nothing.
    """
    if spec.records < 1 or spec.layout not in CHOICE_LAYOUTS:
        raise InputError(
            "means nothing",
            field="--side_effects",
            expected=f"records of at least 1, layout one of {', '.join(CHOICE_LAYOUTS)}",
            got=asdict(spec),
            fix="correct it",
        )
    files = {path.name: path for path in side_files(spec)}
    if not files:
        raise InputError(
            "holds no questions",
            file=spec.data_dir,
            field="--side_effects.data_dir",
            expected=f"one or more of {TEXT_FILE}, {TALK_FILE}, safety.json, hallucination.json",
            fix="check the path, or leave side_effects out",
        )
    choices = []
    for kind in CHOICES:
        if f"{kind}.json" in files:
            choices.append(
                (kind, _read(files[f"{kind}.json"], lambda record, path, row: _choice(record, path, row, spec)))
            )
    return SideQuestions(
        texts=_read(files[TEXT_FILE], _text) if TEXT_FILE in files else (),
        talk=_read(files[TALK_FILE], _talk) if TALK_FILE in files else (),
        choices=tuple(choices),
    )


def _read(path: Path, item: Callable[[dict[str, Any], Path, int], Item]) -> tuple[Item, ...]:
    try:
        items = tuple(item(record, path, row) for row, record in read_json_records(path))
    except InputError as error:
        error.fix = error.fix or "correct or remove this record"
        raise
    if not items:
        raise InputError("holds no record", file=path, expected="a list of questions", fix="remove it or fill it")
    return items


def _text(record: dict[str, Any], path: Path, row: int) -> PlainText:
    prompt, text = (require(record, field, str, file=path, row=row) for field in ("prompt", "text"))
    return PlainText(prompt, text)


def _talk(record: dict[str, Any], path: Path, row: int) -> TalkItem:
    question, key = (require(record, field, str, file=path, row=row) for field in ("question", "key"))
    return TalkItem(question, key)


def _choice(record: dict[str, Any], path: Path, row: int, spec: SideEffectSpec) -> ChoiceItem:
    question = require(record, "question", str, file=path, row=row)
    options = require_list(record, "options", str, file=path, row=row)
    right = require_list(record, "right", int, file=path, row=row)
    if not 2 <= len(options) <= len(LETTERS):
        raise _bad(path, row, "options", f"from 2 to {len(LETTERS)} options", options)
    if not set(right) < set(range(len(options))):
        raise _bad(path, row, "right", f"places of some options, from 0 to {len(options) - 1}, but not of all", right)
    prompt = choice_prompt(question, spec.query, options, spec.layout)
    return ChoiceItem(prompt, tuple(LETTERS[: len(options)]), tuple(right))


def _bad(path: Path, row: int, field: str, expected: str, got: object) -> InputError:
    return InputError("cannot be used", file=path, row=row, field=field, expected=expected, got=got, fix="correct it")
