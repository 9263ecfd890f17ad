"""Paired tests between the methods of finished evaluations, from the records that they wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from files.atomic import atomic_write_text
from files.readers import read_json_lines, require
from metrics.bootstrap import Interval, bootstrap_difference, bootstrap_interval
from metrics.glossary import MEANINGS, ranked
from metrics.outcome import MetricRow
from metrics.result_rows import RESULTS, ResultRow, by_run, read_results
from metrics.significance import holm, paired_effect, permutation_p
from report.cells import interval_cell, markdown_table, number, table_cell

RECORDS, MARKDOWN = "records.jsonl", "paired_tests.md"
BASE = "none"
Scores = dict[str, float]
_Sides = tuple[Scores, Scores]


class PairedTest(NamedTuple):
    """A figure of one method against that of another on the same rows.

    Attributes:
        benchmark: What was asked.
        model: Of whom.
        metric: The figure, a mean over rows.
        method: The one.
        other: The other; `none` is the model as it is.
        difference: Mean of the one minus the other, row by row, with its interval.
        p: Of a two-sided permutation test.
        p_holm: The same, corrected for all tests of this benchmark and model.
        effect: Mean difference in standard deviations of the differences.
        wins: Share of rows on which the one is better, with its interval; a row on which both are equal counts half.
    """

    benchmark: str
    model: str
    metric: str
    method: str
    other: str
    difference: Interval
    p: float
    p_holm: float
    effect: float
    wins: Interval


_Pending = tuple[PairedTest, Tensor]


def paired_tests(rows: Sequence[ResultRow]) -> list[PairedTest]:
    """Test every method against the base model, and the best one against the others, by every figure of an effect.

    What is tested lies beside the results, in `records.jsonl`. Records of one item under several personas, and of one
    record under several seeds, are not independent and are averaged first.

    Args:
        rows: Rows of any number of evaluations.

    Returns:
        The tests, by benchmark and model. Figures that are no means over records are left out, and so is what has not
        two rows in common.

    Raises:
        InputError: A file of records is faulty.
    """
    files = RecordFiles()
    found = []
    for (benchmark, model), methods in by_run([row for row in rows if row.plain]).items():
        names = ranked({row.metric for of_method in methods.values() for row in of_method}, "effect")
        scores = {label: files.scores(of_method[0], names) for label, of_method in methods.items()}
        family: list[_Pending] = []
        for metric in names:
            sides = {label: of_method[metric] for label, of_method in scores.items() if metric in of_method}
            order = sorted((label for label in sides if label != BASE), key=lambda one: _place(methods[one], metric))
            family += _tests((benchmark, model, metric), sides, order)
        found += _decided(family)
    return found


def paired_tests_markdown(tests: Sequence[PairedTest]) -> str:
    """The tests as a table for each benchmark and model.

    Args:
        tests: What was tested.

    Returns:
        Markdown; nothing where there is no test.
    """
    groups: dict[tuple[str, str], list[PairedTest]] = {}
    for test in tests:
        groups.setdefault((test.benchmark, test.model), []).append(test)
    if not groups:
        return ""
    parts = [
        "## Paired tests",
        "Each method against the model as it is (`none`), and the best against the others, row by row: mean difference "
        "with its 95 % interval, p of a two-sided permutation test, p corrected for all tests of the table (Holm), the "
        "effect in standard deviations of the differences (d; 0.2 is small, 0.5 medium, 0.8 large), and the share of "
        "rows on which the method is the better of the two, with its 95 % interval (wins; equal rows count half).",
    ]
    header = ["figure", "method", "against", "difference", "rows", "p", "p, Holm", "d", "wins"]
    for (benchmark, model), members in groups.items():
        parts += [
            f"### {table_cell(benchmark)}, {table_cell(model)}",
            markdown_table(header, list(map(_cells, members))),
        ]
    return "\n\n".join(parts) + "\n"


def write_paired_tests(tests: Sequence[PairedTest], folder: str | Path) -> str:
    """Write `paired_tests.md`, where there are tests.

    Args:
        tests: What was tested.
        folder: Where to.

    Returns:
        What was written.

    Raises:
        InputError: The folder cannot be written.
    """
    text = paired_tests_markdown(tests)
    if text:
        atomic_write_text(Path(folder) / MARKDOWN, text)
    return text


def p_cell(p: float) -> str:
    """A p-value as text.

    Example:
        >>> p_cell(0.0421), p_cell(0.00001), p_cell(float("nan"))
        ('0.042', '< 0.001', '')
    """
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def wins_cell(test: PairedTest) -> str:
    """The share of rows that a method wins, with its interval."""
    return _interval_cell(test.metric, test.wins)


def unit_of(record: str, persona: str) -> str:
    """The independent unit that a record belongs to: the item, where it is asked under several personas.

    Example:
        >>> unit_of("openness-3:openness+", "openness+"), unit_of("tea", "openness+")
        ('openness-3', 'tea')
    """
    return record.removesuffix(f":{persona}")


def _cells(test: PairedTest) -> list[str]:
    size = "" if math.isnan(test.effect) else number(test.effect) if math.isfinite(test.effect) else "infinite"
    names = [f"`{test.metric}`", table_cell(test.method), table_cell(test.other)]
    difference = _interval_cell(test.metric, test.difference)
    return [*names, difference, str(test.difference.n), p_cell(test.p), p_cell(test.p_holm), size, wins_cell(test)]


def _interval_cell(metric: str, of: Interval) -> str:
    value, low, high, n = of
    known = math.isfinite(low) and math.isfinite(high)
    return interval_cell(MetricRow(metric, "all", value, low if known else None, high if known else None, n, None))


def _decided(family: Sequence[_Pending]) -> list[PairedTest]:
    """Tests with their p-values; those of equally many rows share the changes of sign, which take the time."""
    p_values = torch.full((len(family),), torch.nan, dtype=torch.float64)
    sizes = dict.fromkeys(len(differences) for _, differences in family)
    for size in sizes:
        places = [place for place, (_, differences) in enumerate(family) if len(differences) == size]
        p_values[places] = permutation_p(torch.stack([family[place][1] for place in places]))
    corrected = holm(p_values).tolist()
    return [
        test._replace(p=p, p_holm=p_holm)
        for (test, _), p, p_holm in zip(family, p_values.tolist(), corrected, strict=True)
    ]


def _tests(named: tuple[str, str, str], sides: Mapping[str, _Sides], order: Sequence[str]) -> list[_Pending]:
    """Tests of one figure: each method against the base model, and the first of `order` against the others."""
    base: Scores = {}
    for before, _ in sides.values():
        base = {**before, **base}
    if BASE in sides:
        base = {**base, **sides[BASE][1]}
    pairs = [(label, BASE, sides[label][1], base) for label in order]
    pairs += [(order[0], label, sides[order[0]][1], sides[label][1]) for label in order[1:]]
    return [test for pair in pairs if (test := _test(named, *pair)) is not None]


def _test(named: tuple[str, str, str], method: str, other: str, ours: Scores, theirs: Scores) -> _Pending | None:
    common = [unit for unit in ours if unit in theirs]
    if len(common) < 2:
        return None
    left, right = (torch.tensor([one[unit] for unit in common], dtype=torch.float64) for one in (ours, theirs))
    difference, effect = bootstrap_difference(left, right), paired_effect(left - right).item()
    won = won_rows(left - right, MEANINGS[named[2]].better)
    return PairedTest(*named, method, other, difference, math.nan, math.nan, effect, won), left - right


def won_rows(differences: Tensor, better: str | None) -> Interval:
    """Share of rows on which the one is better than the other; a row on which both are equal counts half.

    Args:
        differences: (N,) one method minus the other.
        better: `lower` where the smaller value is the better one.

    Example:
        >>> won_rows(torch.tensor([1.0, 1.0, 0.0, -1.0]), "higher").value
        0.625
    """
    gained = -differences if better == "lower" else differences
    return bootstrap_interval((gained.sign() + 1) / 2)


def _place(rows: Sequence[ResultRow], metric: str) -> tuple[bool, float]:
    """Where a method stands by a figure, the best first, those without a value last."""
    value = next((row.value for row in rows if row.metric == metric), None)
    if value is None:
        return True, 0.0
    return False, value if MEANINGS[metric].better == "lower" else -value


class RecordFiles:
    """Files of records, each read once."""

    def __init__(self) -> None:
        self._entries: dict[Path, list[tuple[int, dict[str, Any]]]] = {}

    def scores(self, row: ResultRow, metrics: Sequence[str]) -> dict[str, _Sides]:
        """For each figure what the base model and the method of a row scored, by unit."""
        found: dict[str, tuple[dict[str, list[float]], dict[str, list[float]]]] = {}
        for file in _files(row):
            if file not in self._entries:
                self._entries[file] = list(read_json_lines(file))
            for line, entry in self._entries[file]:
                if require(entry, "method", str, file=file, row=line) != row.method:
                    continue
                persona = require(entry, "persona", dict, file=file, row=line)
                unit = unit_of(require(entry, "id", str, file=file, row=line), str(persona.get("name", "")))
                for side, name in enumerate(("base", "values")):
                    values = require(entry, name, dict, file=file, row=line, allow_empty=True)
                    for metric in metrics:
                        if values.get(metric) is not None:
                            value = require(values, metric, float, file=file, row=line)
                            found.setdefault(metric, ({}, {}))[side].setdefault(unit, []).append(value)
        return {metric: (_means(sides[0]), _means(sides[1])) for metric, sides in found.items()}


def _means(values: Mapping[str, list[float]]) -> Scores:
    return {unit: math.fsum(parts) / len(parts) for unit, parts in values.items()}


def _files(row: ResultRow) -> list[Path]:
    """The files of records behind a row: beside its results, or of the same evaluation below them (seeds, a matrix)."""
    folder = Path(row.folder)
    if (folder / RECORDS).is_file():
        return [folder / RECORDS]
    return [file for file in sorted(folder.rglob(RECORDS)) if _is_of(file.with_name(RESULTS), row)]


def _is_of(results: Path, row: ResultRow) -> bool:
    named = (row.benchmark, row.model, row.method)
    return results.is_file() and any((one.benchmark, one.model, one.method) == named for one in read_results(results))
