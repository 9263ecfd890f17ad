"""Reading results files: the rows that tables, reports and leaderboards are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json, require

RESULTS = "results.json"
ALL = "all"
SCHEMA = 1
"""Version of the rows; raised when rows that were written before can no longer be read as they are."""

_NUMBERS = ("value", "ci_low", "ci_high", "base_value", "seconds", "peak_memory_mb")


@dataclass(frozen=True)
class ResultRow:
    """One figure of one evaluation, as a results file holds it.

    Attributes:
        benchmark: What was asked.
        method: How the model was changed.
        model: Name of the language model.
        persona: Whose records: a persona's name, or `all`.
        metric: Name of the figure; `<metric>/<part>` for a part of the records.
        value: The figure; None where there is none.
        ci_low: Lower end of its interval.
        ci_high: Upper end of its interval.
        n: Number of records.
        base_value: The base model's figure over the same records.
        seed: Seed of the run.
        seconds: Time of the run.
        peak_memory_mb: Memory of the run.
        raw: The row as it stands in the file.
        folder: Where the file lies.
    """

    benchmark: str
    method: str
    model: str
    persona: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    base_value: float | None
    seed: int | None
    seconds: float | None
    peak_memory_mb: float | None
    raw: Mapping[str, Any] = field(compare=False, repr=False)
    folder: str = ""

    @property
    def plain(self) -> bool:
        """Whether it is a figure over all records, under the metric's plain name."""
        return self.persona == ALL and "/" not in self.metric


def read_results(path: str | Path) -> list[ResultRow]:
    """Read one results file.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read or holds nothing, its rows are of another schema, or a row lacks a part or has one
            of another kind; named by its index.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError("is not a results file", file=path, expected="a list of rows", got=content)
    if not content:
        raise InputError(
            "holds no rows",
            file=path,
            expected="at least one figure",
            fix="leave the run out, or evaluate it again",
        )
    return [_row(entry, path, index) for index, entry in enumerate(content)]


def find_results(folders: Iterable[str | Path]) -> list[Path]:
    """The results files in some folders, or below them; a folder with a file of its own stands for all below it.

    Args:
        folders: Folders of runs, or folders of such folders, or results files.

    Returns:
        The files, each once, in the order of the folders.

    Raises:
        InputError: A folder is not there, or holds no results.
    """
    found: dict[Path, None] = {}
    for folder in map(Path, folders):
        files = [folder] if folder.is_file() else _below(folder)
        if not files:
            raise InputError(
                "holds no results" if folder.is_dir() else "does not exist",
                file=folder,
                field="--compare",
                expected=f"a folder with {RESULTS} in it or below it",
                got=sorted(path.name for path in folder.iterdir())[:5] if folder.is_dir() else None,
                fix="name the folders of finished evaluations, such as runs",
            )
        found.update(dict.fromkeys(files))
    return list(found)


def run_labels(rows: Iterable[ResultRow]) -> dict[tuple[str, str, str, str], str]:
    """What the method of each run is called in a table: its name, with as much of its folder as tells it from others.

    Args:
        rows: Rows of any number of files.

    Returns:
        From (benchmark, model, method, folder) to the label.
    """
    folders: dict[tuple[str, str, str], dict[str, None]] = {}
    for row in rows:
        folders.setdefault((row.benchmark, row.model, row.method), {}).setdefault(row.folder)
    labels = {}
    for (benchmark, model, method), of_method in folders.items():
        for folder, tail in _tails(list(of_method)).items():
            labels[benchmark, model, method, folder] = f"{method} ({tail})" if len(of_method) > 1 else method
    return labels


def by_run(rows: Sequence[ResultRow]) -> dict[tuple[str, str], dict[str, list[ResultRow]]]:
    """Rows by benchmark and model, and in each by method.

    Runs of one method that differ otherwise are told apart by their folders.

    Args:
        rows: Rows of any number of files.

    Returns:
        From (benchmark, model) to methods, in the order of the rows.
    """
    labels = run_labels(rows)
    tables: dict[tuple[str, str], dict[str, list[ResultRow]]] = {}
    for row in rows:
        label = labels[row.benchmark, row.model, row.method, row.folder]
        tables.setdefault((row.benchmark, row.model), {}).setdefault(label, []).append(row)
    return tables


def _tails(folders: Sequence[str]) -> dict[str, str]:
    """For each folder as few of its last names as no other folder ends with."""
    longest = max((len(Path(folder).parts) for folder in folders), default=0)
    for length in range(1, longest + 1):
        tails = {folder: "/".join(Path(folder).parts[-length:]) for folder in folders}
        if len(set(tails.values())) == len(folders):
            return tails
    return {folder: folder for folder in folders}


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    own = folder / RESULTS
    if own.is_file():
        return [own]
    return [file for inner in sorted(folder.iterdir()) if inner.is_dir() for file in _below(inner)]


def _row(entry: Any, path: str | Path, index: int) -> ResultRow:
    schema = require(entry, "schema", int, file=path, row=index)
    if schema != SCHEMA:
        raise InputError(
            "is of another version of results files",
            file=path,
            row=index,
            field="schema",
            expected=str(SCHEMA),
            got=schema,
            fix="evaluate again, or compare with the version of this program that wrote the file",
        )
    benchmark, method, model, persona, metric = (
        require(entry, name, str, file=path, row=index)
        for name in ("benchmark", "method", "model", "persona", "metric")
    )
    value, low, high, base, seconds, memory = (_number(entry, name, path, index) for name in _NUMBERS)
    seed = entry.get("seed")
    return ResultRow(
        benchmark=benchmark,
        method=method,
        model=model,
        persona=persona,
        metric=metric,
        value=value,
        ci_low=low,
        ci_high=high,
        n=require(entry, "n", int, file=path, row=index),
        base_value=base,
        seed=seed if isinstance(seed, int) else None,
        seconds=seconds,
        peak_memory_mb=memory,
        raw=entry,
        folder=str(Path(path).parent),
    )


def _number(entry: Mapping[str, Any], name: str, path: str | Path, index: int) -> float | None:
    if entry.get(name) is None:
        return None
    return require(entry, name, float, file=path, row=index)
