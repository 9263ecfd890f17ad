"""Where the figures of a report come from, and what does not fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metrics.result_rows import ResultRow
from report.boards import Board
from report.judging import judges

_SHORT = 8
_CHANGED = "+changes"


@dataclass(frozen=True)
class Source:
    """Runs that were made alike.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        methods: Under which methods.
        commit: The code.
        seeds: The seeds.
        data: Hash of the data.
        versions: The libraries.
        judge: The judge, empty where there is none.
        folders: Where the results files lie.
    """

    benchmark: str
    model: str
    methods: tuple[str, ...]
    commit: str
    seeds: tuple[int, ...]
    data: str
    versions: str
    judge: str
    folders: tuple[str, ...]


def sources(rows: Sequence[ResultRow]) -> list[Source]:
    """Rows put together that agree in benchmark, model, commit, data and libraries.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        What each such group says of its origin.
    """
    groups: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        key = (row.benchmark, row.model, short(row.raw.get("commit")), short(row.raw.get("data_hash")), _versions(row))
        groups.setdefault(key, []).append(row)
    return [
        Source(
            benchmark=benchmark,
            model=model,
            methods=tuple(dict.fromkeys(row.method for row in members)),
            commit=commit,
            seeds=tuple(sorted({row.seed for row in members if row.seed is not None})),
            data=data,
            versions=versions,
            judge="; ".join(map(str, judges(members))),
            folders=tuple(dict.fromkeys(row.folder for row in members)),
        )
        for (benchmark, model, commit, data, versions), members in groups.items()
    ]


def origin_warnings(rows: Sequence[ResultRow], found: Sequence[Board]) -> list[str]:
    """What a reader must know before comparing figures.

    Args:
        rows: All rows.
        found: The boards they make.

    Returns:
        A sentence, without its stop, for each thing that does not fit together.
    """
    texts = []
    commits = _seen(row.raw.get("commit") for row in rows)
    if len(commits) > 1:
        texts.append(
            f"figures of {len(commits)} commits are mixed here ({', '.join(commits)}); evaluate them again with one"
        )
    changed = [commit for commit in commits if commit.endswith(_CHANGED)]
    if changed:
        texts.append(f"some figures come from code with uncommitted changes ({', '.join(changed)})")
    if not all(isinstance(row.raw.get("commit"), str) for row in rows):
        texts.append("of some figures the commit is not known")
    libraries = _mixed_versions(rows)
    if libraries:
        texts.append(f"library versions are mixed: {', '.join(libraries)}")
    for board in found:
        leading = [figures[board.leading] for figures in board.methods.values() if board.leading in figures]
        if len(_seen(row.raw.get("data_hash") for row in leading)) > 1:
            texts.append(f"the methods on {board.benchmark} ({board.model}) were not asked from the same data files")
        counts = sorted({row.n for row in leading if row.value is not None})
        if len(counts) > 1:
            texts.append(
                f"the figures on {board.benchmark} ({board.model}) are over different numbers of records "
                f"({', '.join(map(str, counts))})"
            )
    return texts + _judge_warnings(rows)


def short(text: object) -> str:
    """A hash cut to what tells it from others, keeping the mark of uncommitted changes.

    Example:
        >>> short("0123456789abcdef+changes"), short(None)
        ('01234567+changes', 'unknown')
    """
    if not isinstance(text, str) or not text:
        return "unknown"
    return text[:_SHORT] + (_CHANGED if text.endswith(_CHANGED) else "")


def _judge_warnings(rows: Sequence[ResultRow]) -> list[str]:
    found = judges(rows)
    texts = []
    unchecked = dict.fromkeys(judge.name for judge in found if judge.check is None)
    if unchecked:
        texts.append(f"no check of the judge is known for {', '.join(unchecked)}")
    if len({(judge.name, judge.version) for judge in found}) > 1:
        texts.append(f"figures of several judges stand side by side: {'; '.join(map(str, found))}")
    return texts


def _seen(values: Iterable[object]) -> list[str]:
    """Different hashes, cut short, in the order in which they come."""
    return list(dict.fromkeys(short(value) for value in values if isinstance(value, str) and value))


def _versions(row: ResultRow) -> str:
    versions = row.raw.get("versions")
    if not isinstance(versions, Mapping):
        return ""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _mixed_versions(rows: Sequence[ResultRow]) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        versions = row.raw.get("versions")
        for name, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(str(name), {}).setdefault(str(version))
    return [f"{name} {' and '.join(versions)}" for name, versions in found.items() if len(versions) > 1]
