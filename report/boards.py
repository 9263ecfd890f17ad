"""The methods that were asked the same questions of the same model, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from files.errors import InputError
from metrics.glossary import MEANINGS, ranked
from metrics.result_rows import ResultRow, by_run
from report.paired_tests import PairedTest

BASE = "none"
_SHOWN_DETAILS = 4
_DIFFERENCE = "_difference/"


@dataclass(frozen=True)
class Board:
    """The methods that were asked the same questions.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        effects: Names of the figures that say what a method brings, the leading one first.
        costs: Names of the figures that say what it costs.
        methods: For each method its plain figures by name, the best first.
        seeds: For each method the seeds that its figures come from.
        differences: Paired differences of a figure, by (method, figure, other method): the method minus the other.
        tests: Paired tests of a figure, likewise.
    """

    benchmark: str
    model: str
    effects: tuple[str, ...]
    costs: tuple[str, ...]
    methods: Mapping[str, Mapping[str, ResultRow]]
    seeds: Mapping[str, tuple[int, ...]]
    differences: Mapping[tuple[str, str, str], ResultRow] = field(default_factory=dict)
    tests: Mapping[tuple[str, str, str], PairedTest] = field(default_factory=dict)

    @property
    def leading(self) -> str:
        """The figure that methods are ordered by."""
        return self.effects[0]

    def base_value(self, name: str) -> float | None:
        """The base model's figure: of its own run, or as it stands beside that of a method."""
        own = self.methods.get(BASE, {}).get(name)
        if own is not None and own.value is not None:
            return own.value
        beside = (figures[name].base_value for figures in self.methods.values() if name in figures)
        return next((value for value in beside if value is not None), None)


def boards(rows: Sequence[ResultRow]) -> list[Board]:
    """Sort rows into a board for each benchmark and model.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        The boards, in the order of the rows.

    Raises:
        InputError: There is no figure over all records.
    """
    found = []
    for (benchmark, model), methods in by_run(rows).items():
        figures = {
            method: {row.metric: row for row in of_method if row.plain}
            for method, of_method in methods.items()
            if any(row.plain for row in of_method)
        }
        if not figures:
            continue
        names = {name for plain in figures.values() for name in plain}
        effects = ranked(names, "effect") or [name for name in next(iter(figures.values()))][:_SHOWN_DETAILS]
        order = sorted(figures, key=lambda method: _place(figures[method].get(effects[0]), method))
        found.append(
            Board(
                benchmark,
                model,
                tuple(effects),
                tuple(name for name in ranked(names, "cost") if name not in effects),
                {method: figures[method] for method in order},
                {method: _seeds(methods[method]) for method in order},
                {key: row for method in order for key, row in _differences(method, methods[method])},
            )
        )
    if not found:
        raise InputError(
            "there is nothing to compare",
            expected="results with figures over all records",
            got=len(rows),
            fix="name folders of finished evaluations",
        )
    return found


def with_tests(board: Board, tests: Iterable[PairedTest]) -> Board:
    """A board with those of some paired tests that are about it."""
    own = [test for test in tests if (test.benchmark, test.model) == (board.benchmark, board.model)]
    return replace(board, tests={(test.method, test.metric, test.other): test for test in own})


def overview(found: Sequence[Board]) -> dict[str, tuple[list[Board], list[str]]]:
    """For each model its boards and all methods, the base model first and then by their mean place on the boards.

    Args:
        found: The boards.

    Returns:
        From a model to its boards, in their order, and methods.
    """
    tables: dict[str, tuple[list[Board], list[str]]] = {}
    for model in dict.fromkeys(board.model for board in found):
        of_model = [board for board in found if board.model == model]
        places: dict[str, list[float]] = {}
        for board in of_model:
            ranked_methods = [method for method in board.methods if method != BASE]
            for place, method in enumerate(ranked_methods):
                places.setdefault(method, []).append(place / len(ranked_methods))
        order = sorted(places, key=lambda method: (sum(places[method]) / len(places[method]), method))
        base = [BASE] if any(board.base_value(board.leading) is not None for board in of_model) else []
        tables[model] = (of_model, [*base, *order])
    return tables


def _seeds(rows: Sequence[ResultRow]) -> tuple[int, ...]:
    return tuple(sorted({row.seed for row in rows if row.seed is not None}))


def _differences(method: str, rows: Sequence[ResultRow]) -> list[tuple[tuple[str, str, str], ResultRow]]:
    """The paired differences among a method's rows; they name other methods as those call themselves."""
    split = [(row, *row.metric.partition(_DIFFERENCE)) for row in rows]
    return [((method, name, other), row) for row, name, found, other in split if found]


def _place(row: ResultRow | None, method: str) -> tuple[bool, float, str]:
    """Where a method stands: by its leading figure, the best first, those without one last."""
    if row is None or row.value is None:
        return True, 0.0, method
    lower = row.metric in MEANINGS and MEANINGS[row.metric].better == "lower"
    return False, row.value if lower else -row.value, method
