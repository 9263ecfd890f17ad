"""Free answers before and after, of all methods that were asked the same, from the records beside results files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from files.readers import read_json_lines, require, require_list
from metrics.result_rows import RESULTS, ResultRow, read_results, run_labels

RECORDS = "records.jsonl"


@dataclass
class Asked:
    """One question and everything that was answered to it.

    Attributes:
        benchmark: Where it comes from.
        model: Who was asked.
        persona: Whom the answers should sound like.
        prompt: The question.
        base: The base model's answer.
        answers: The answer under each method.
    """

    benchmark: str
    model: str
    persona: str
    prompt: str
    base: str
    answers: dict[str, str] = field(default_factory=dict)


def read_texts(rows: Sequence[ResultRow], number: int) -> list[Asked]:
    """Some of the free answers that belong to results.

    Args:
        rows: The results; `records.jsonl` lies beside their files or below them.
        number: Questions of each benchmark and model, spread evenly over its records.

    Returns:
        Questions in the order of the records, those that most methods answered first where methods answered different
        ones.

    Raises:
        InputError: A records file is malformed.
    """
    labels = run_labels(rows)
    found: dict[tuple[str, str], dict[tuple[str, str], Asked]] = {}
    for folder in dict.fromkeys(row.folder for row in rows):
        for file in _record_files(Path(folder)):
            named = {(row.benchmark, row.model) for row in _beside(file, rows)}
            for benchmark, model in sorted(named)[:1]:
                _read(file, benchmark, model, folder, labels, found.setdefault((benchmark, model), {}))
    chosen: list[Asked] = []
    for asked in found.values():
        most = max((len(one.answers) for one in asked.values()), default=0)
        shared = [one for one in asked.values() if len(one.answers) == most]
        chosen += spread(shared, number)
    return chosen


def spread(items: Sequence[Asked], number: int) -> list[Asked]:
    """At most so many items, evenly over all of them."""
    count = min(number, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def _record_files(folder: Path) -> list[Path]:
    own = folder / RECORDS
    return [own] if own.is_file() else sorted(folder.rglob(RECORDS))


def _beside(file: Path, rows: Sequence[ResultRow]) -> Iterable[ResultRow]:
    """The results that stand beside a records file; it does not name its benchmark itself."""
    own = [row for row in rows if row.folder == str(file.parent)]
    results = file.parent / RESULTS
    return own or (read_results(results) if results.is_file() else ())


def _read(
    file: Path,
    benchmark: str,
    model: str,
    folder: str,
    labels: dict[tuple[str, str, str, str], str],
    found: dict[tuple[str, str], Asked],
) -> None:
    for line, entry in read_json_lines(file):
        samples = require_list(entry, "samples", dict, file=file, row=line, allow_empty=True)
        if not samples:
            continue
        method, identity = (require(entry, name, str, file=file, row=line) for name in ("method", "id"))
        persona = require(require(entry, "persona", dict, file=file, row=line), "name", str, file=file, row=line)
        prompt, base, answer = (
            require(samples[0], name, str, file=file, row=line, allow_empty=True)
            for name in ("prompt", "base", "persona")
        )
        label = labels.get((benchmark, model, method, folder))
        if label is not None:
            asked = found.setdefault((identity, prompt), Asked(benchmark, model, persona, prompt, base))
            asked.answers.setdefault(label, answer)
