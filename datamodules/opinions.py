"""Files of opinions as PersonalityEdit publishes them: topics, each with what people of several traits say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json, require, require_list
from files.records import read_records

TOPIC, TARGET = "ent", "target_per"


@dataclass(frozen=True)
class TopicOpinions:
    """One topic with the opinions on it.

    Attributes:
        topic: What the opinions are about.
        opinions: For each trait what its people say, at least one text.
        target: The trait to edit towards, where the file says so.
    """

    topic: str
    opinions: dict[str, tuple[str, ...]]
    target: str | None = None

    @property
    def key(self) -> str:
        """The topic without differences of case and white space: records with equal keys are about the same thing."""
        return " ".join(self.topic.casefold().split())


def read_opinions(
    path: Path, traits: Sequence[str], *, with_target: bool, limit: int | None = None, hub: str | None = None
) -> list[TopicOpinions]:
    """Read one split.

    Args:
        path: A JSON list of `{"ent": topic, "<trait>": [opinions], ..., "target_per": trait}`.
        traits: The traits every record must have opinions of.
        with_target: Whether every record must say which trait to edit towards.
        limit: Keep only this many records, from the first; all are checked.
        hub: A data set of the hub, whose split of the path's name is read in place of the file.

    Returns:
        The records, in the order of the file.

    Raises:
        InputError: If the file cannot be read, or a record lacks something, has something of another type, or has no
            opinions of a trait. Rows count from 0.
    """
    try:
        content = _list_of_records(path, hub)
        records = [_topic_opinions(record, path, row, traits, with_target) for row, record in enumerate(content)]
    except InputError as error:
        default = "correct the file, or fetch it again" if error.row is None else "correct or remove this record"
        error.fix = error.fix or default
        raise
    everything, records = records, records[:limit]
    if len({record.key for record in records}) < 2:
        enough = next((n for n, record in enumerate(everything, 1) if record.key != everything[0].key), None)
        if enough is not None:
            raise InputError(
                "leaves records about one topic only, and an edit is judged by what it leaves alone of another",
                file=path,
                field="--data.init_args.limit",
                expected=f"at least {enough}",
                got=limit,
                fix="raise it, or leave it out",
            )
        raise InputError(
            "all records are about the same topic, so there is no other topic on which opinions should stay",
            file=path,
            field=TOPIC,
            expected="at least two different topics",
            got=records[0].topic,
            fix="add records about other topics",
        )
    return records


def _list_of_records(path: Path, hub: str | None) -> list[Any]:
    content = read_json(path) if hub is None else [record for _, record in read_records(hub, path.stem)]
    if not isinstance(content, list) or not content:
        raise InputError(
            "holds no records",
            file=path,
            expected='a JSON list of {"ent": topic, "<trait>": [opinions], ...}',
            got=content,
            fix="give a file in the format that PersonalityEdit is published in",
        )
    return content


def _topic_opinions(record: Any, path: Path, row: int, traits: Sequence[str], with_target: bool) -> TopicOpinions:
    topic = require(record, TOPIC, str, file=path, row=row)
    opinions = {trait: tuple(require_list(record, trait, str, file=path, row=row)) for trait in traits}
    target = require(record, TARGET, str, file=path, row=row) if with_target or TARGET in record else None
    if target is not None and target not in traits:
        raise InputError(
            "is not one of the traits",
            file=path,
            row=row,
            field=TARGET,
            expected=f"one of {', '.join(traits)}",
            got=target,
            fix="correct the trait, or name it in data.init_args.traits",
        )
    return TopicOpinions(topic, opinions, target)
