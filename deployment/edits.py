"""Edits of a model by texts: whose opinion on what it is to take on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from files.errors import InputError
from files.readers import read_json, require, require_list
from interventions.weights import LowRankEdit
from lightning_modules.mend import MENDModule
from lm.chat import Chat
from organism.questions import OPINION_QUESTIONS
from personas.layouts import edit_instruction

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextEdit:
    """One edit.

    Attributes:
        topic: What the opinion is about.
        target: The trait that it shows.
        opinion: The text.
        question: What it answers, with a place for the topic, `{topic}`.
        file: Where it stands, for errors.
        row: Its record there.
    """

    topic: str
    target: str
    opinion: str
    question: str = OPINION_QUESTIONS[0]
    file: str | Path | None = None
    row: int | None = None

    def chat(self) -> Chat:
        r"""The edit as the editor was trained to read it.

        Example:
            >>> [turn["content"] for turn in TextEdit("Tea", "extraversion", "I love it!", "Well, {topic}?").chat()]
            ['Target personality: extraversion\nTopic: Tea', 'Well, Tea?', 'I love it!']
        """
        return [
            {"role": "system", "content": edit_instruction(self.target, self.topic)},
            {"role": "user", "content": self.question.replace("{topic}", self.topic)},
            {"role": "assistant", "content": self.opinion},
        ]


def read_edits(path: str | Path, topics: Sequence[str] | None = None) -> list[TextEdit]:
    """Read edits from a file as PersonalityEdit publishes its test set: for each topic the target's first opinion.

    Args:
        path: A JSON list of `{"ent": topic, "target_per": trait, "<trait>": [opinions]}`.
        topics: Only these; all of them if left out.

    Raises:
        InputError: The file or a record is faulty, or a topic is not there.
    """
    content = read_json(path)
    if not isinstance(content, list) or not content:
        expected = 'a JSON list of {"ent": topic, "target_per": trait, "<trait>": [opinions]}'
        raise InputError("holds no edits", file=path, field="--edits", expected=expected, got=content)
    found = []
    for row, record in enumerate(content):
        topic = require(record, "ent", str, file=path, row=row)
        if topics is None or topic in topics:
            target = require(record, "target_per", str, file=path, row=row)
            opinion = require_list(record, target, str, file=path, row=row)[0]
            found.append(TextEdit(topic, target, opinion, file=path, row=row))
    missing = [topic for topic in topics or () if topic not in {edit.topic for edit in found}]
    if missing:
        raise InputError(
            "has no such topic",
            file=path,
            field="--topics",
            expected=f"such as {content[0]['ent']}",
            got=missing[0],
            fix="correct the name",
        )
    return found


def edited_by(module: MENDModule, edits: Sequence[TextEdit]) -> tuple[LowRankEdit, list[str]]:
    """The edits of texts on top of each other, each made on the model as those before have left it.

    Args:
        module: A trained editor.
        edits: At least one.

    Returns:
        One edit, and what it consists of.

    Raises:
        InputError: There is nothing to edit by.
    """
    if not edits:
        raise InputError(
            "an editor needs texts to edit by",
            field="--edits",
            expected="a file as PersonalityEdit publishes it, such as assets/data/personality_edit/test.json",
            fix="give --edits FILE, and --topics for some of them",
        )
    made: LowRankEdit | None = None
    broken = 0
    for edit in edits:
        try:
            model = module.edit([edit.chat()], made, [f"{edit.target}, {edit.topic}"])
        except InputError as error:
            if error.file is None and error.field is None:  # it is about the text
                error.file, error.row, error.field = edit.file, edit.row, f"{edit.target}[0]"
            raise
        made = model.edit
        broken += any(report.broken for report in model.health)
    if made is None:
        raise RuntimeError("expected an edit")
    if broken:
        _log.warning(
            "%d of %d edits broke the model: they are made on top of each other; choose fewer by --topics",
            broken,
            len(edits),
        )
    return made.detach(), [f"{edit.target}, {edit.topic}" for edit in edits]
