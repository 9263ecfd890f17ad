"""The best is called so only where intervals, or a paired difference, allow it."""

import pytest

from metrics.bootstrap import Interval
from report.boards import boards, overview, with_tests
from report.contents import contents
from report.paired_tests import PairedTest
from report.standing import against_base, first_by
from tests.unit.report.results import figure, rows_of, strengths, write_run


def board_of(folder, rows):
    return boards(rows_of(write_run(folder, rows)))[0]


def test_the_best_is_marked_only_where_intervals_are_apart(tmp_path):
    apart = board_of(tmp_path / "a", [figure("x", 0.9), figure("y", 0.5), figure("none", 0.2)])
    assert first_by(apart, "acc").best == "x" and not first_by(apart, "acc").level
    touching = board_of(tmp_path / "b", [figure("x", 0.9, 0.3), figure("y", 0.5, 0.2), figure("none", 0.1)])
    assert first_by(touching, "acc").best is None and first_by(touching, "acc").level == {"x", "y"}


def test_less_is_better_where_the_glossary_says_so(tmp_path):
    board = board_of(tmp_path, [figure("x", 4.0, metric="alignment_error"), figure("y", 5.0, metric="alignment_error")])
    assert first_by(board, "alignment_error").best == "x"


def test_a_paired_difference_overrules_the_intervals(tmp_path):
    wide = [figure("x", 0.6, 0.3), figure("y", 0.5, 0.3)]
    difference = row_of_difference(0.1, 0.02)
    assert first_by(board_of(tmp_path / "a", [*wide, difference]), "acc").best == "x"
    assert first_by(board_of(tmp_path / "b", [*wide, row_of_difference(0.1, 0.2)]), "acc").best is None
    turned = figure("y", -0.1, 0.02, metric="acc_difference/x")
    assert first_by(board_of(tmp_path / "c", [*wide, turned]), "acc").best == "x"


def row_of_difference(value, width):
    return figure("x", value, width, metric="acc_difference/y")


def test_a_corrected_paired_test_overrules_everything(tmp_path):
    board = board_of(tmp_path, [figure("x", 0.9), figure("y", 0.5)])
    apart = Interval(0.4, 0.3, 0.5, 10)
    for p, best in ((0.01, "x"), (0.2, None), (float("nan"), None)):
        test = PairedTest("personality_edit", "tiny", "acc", "x", "y", apart, p, p, 1.0, apart)
        assert first_by(with_tests(board, [test]), "acc").best == best
    elsewhere = PairedTest("trait", "tiny", "acc", "x", "y", apart, 0.5, 0.5, 1.0, apart)
    assert first_by(with_tests(board, [elsewhere]), "acc").best == "x"


@pytest.mark.parametrize("rows", [[figure("x", 0.9)], [figure("x", 0.9, None), figure("y", 0.1, None)]])
def test_nobody_is_the_best_alone_or_without_intervals(rows, tmp_path):
    assert first_by(board_of(tmp_path, rows), "acc").best is None


def test_nobody_is_the_best_by_a_figure_without_a_better_way(tmp_path):
    rows = [figure(name, value, metric="novel") for name, value in (("x", 1.0), ("y", 0.0))]
    assert first_by(board_of(tmp_path, rows), "novel") == (None, frozenset())


@pytest.mark.parametrize(
    ("metric", "value", "base", "verdict"),
    [
        ("acc", 0.9, 0.5, "better"),
        ("acc", 0.2, 0.5, "worse"),
        ("acc", 0.52, 0.5, "level"),
        ("perplexity", 9.0, 5.0, "worse"),
        ("entropy", 9.0, 5.0, ""),
        ("acc", 0.9, None, ""),
    ],
)
def test_a_figure_stands_to_the_base_model_as_its_interval_says(metric, value, base, verdict, tmp_path):
    rows = rows_of(write_run(tmp_path, [figure("x", value, metric=metric, base_value=base)]))
    assert against_base(rows[0]) == verdict


def test_the_overview_orders_methods_by_their_mean_place(tmp_path):
    first = [figure("a", 0.9), figure("b", 0.5), figure("none", 0.95)]
    second = [figure(name, value, benchmark="trait") for name, value in (("a", 0.6), ("c", 0.7), ("b", 0.1))]
    (boards_of_model, methods), *others = overview(boards(rows_of(write_run(tmp_path, [*first, *second])))).values()
    assert not others and len(boards_of_model) == 2
    assert methods[0] == "none" and methods[-1] == "b"


def test_a_sweep_makes_no_second_run_of_its_method(tmp_path):
    write_run(tmp_path / "run", [figure("npti", 0.5)])
    write_run(tmp_path / "sweep", strengths("npti", {"0": 0.2, "1": 0.4}))
    found = contents(rows_of(tmp_path))
    assert list(found.boards[0].methods) == ["npti"] and [sweep.method for sweep in found.sweeps] == ["npti"]
