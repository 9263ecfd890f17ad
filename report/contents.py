"""Everything that a report shows, read from results files; the page, the Markdown and the pictures are made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from files.errors import InputError
from metrics.glossary import MEANINGS, Meaning
from metrics.result_rows import ResultRow, find_results, read_results
from report.boards import Board, boards, with_tests
from report.judging import judge_warning
from report.paired_tests import PairedTest, paired_tests
from report.profiles import Profiles, profiles
from report.provenance import Source, origin_warnings, sources
from report.spending import Spending, spendings
from report.sweeps import Sweep, sweeps
from report.texts import Asked, read_texts

TITLE = "Personality methods compared"
TEXTS = 6


@dataclass(frozen=True)
class Contents:
    """What a report shows.

    Attributes:
        title: Its heading.
        judge_warning: The first line, where a judge is not to be believed.
        warnings: What a reader must know before comparing figures.
        boards: The methods on each benchmark.
        profiles: Figures trait by trait.
        sweeps: Figures over the values of a setting.
        tests: Paired tests between methods.
        texts: Answers before and after.
        spendings: Time, memory, tokens and money.
        sources: Where figures come from.
        meanings: What the figures mean that are shown.
    """

    title: str
    judge_warning: str | None
    warnings: tuple[str, ...]
    boards: tuple[Board, ...]
    profiles: tuple[Profiles, ...]
    sweeps: tuple[Sweep, ...]
    tests: tuple[PairedTest, ...]
    texts: tuple[Asked, ...]
    spendings: tuple[Spending, ...]
    sources: tuple[Source, ...]
    meanings: dict[str, Meaning]


def read_contents(folders: Iterable[str | Path], title: str = TITLE, texts: int = TEXTS) -> Contents:
    """Read what a report shows.

    Args:
        folders: Folders of runs, or folders of such folders, or results files.
        title: Its heading.
        texts: Free answers of each benchmark and model.

    Returns:
        The contents.

    Raises:
        InputError: A folder holds no results, a file is faulty, or there is nothing to show.
    """
    return contents([row for file in find_results(folders) for row in read_results(file)], title, texts)


def contents(rows: Sequence[ResultRow], title: str = TITLE, texts: int = TEXTS) -> Contents:
    """Sort rows into what a report shows.

    Args:
        rows: Rows of any number of evaluations.
        title: The heading.
        texts: Free answers of each benchmark and model.

    Returns:
        The contents.

    Raises:
        InputError: There are neither figures over all records nor a sweep, or a records file is malformed.
    """
    curves = sweeps(rows)
    whole = {row.folder for row in rows if row.plain}
    runs = [row for row in rows if row.folder in whole]  # a folder with nothing but a sweep is no run of its own
    tests = paired_tests(runs)
    found = [with_tests(board, tests) for board in boards(runs)] if runs or not curves else []
    if not any(row.value is not None for row in rows):
        raise InputError(
            "there is nothing to compare",
            expected="results in which some figure has a value",
            got=len(rows),
            fix="name folders of finished evaluations",
        )
    shown = {name for board in found for name in (*board.effects, *board.costs)}
    traits = profiles(runs)
    shown |= {one.metric for one in traits} | {curve.metric for sweep in curves for curve in sweep.curves}
    return Contents(
        title=title,
        judge_warning=judge_warning(rows),
        warnings=tuple(origin_warnings(rows, found)),
        boards=tuple(found),
        profiles=tuple(traits),
        sweeps=tuple(curves),
        tests=tuple(tests),
        texts=tuple(read_texts(runs, texts)),
        spendings=tuple(spendings(found)),
        sources=tuple(sources(rows)),
        meanings={name: meaning for name, meaning in MEANINGS.items() if name in shown},
    )
