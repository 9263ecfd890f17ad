"""Leaderboards and sweeps: the best stands first, every figure has its interval, pictures are pictures."""

import pytest

from files.errors import InputError
from metrics.result_rows import read_results
from report.boards import boards
from report.figures import leaderboard_figure
from report.leaderboard import leaderboard_markdown, write_leaderboard
from report.sweep_figure import write_sweep
from tests.unit.metrics.test_result_rows import row, write

PNG = b"\x89PNG\r\n\x1a\n"


def read(folder, rows):
    return read_results(write(folder, rows) / "results.json")


def test_the_best_method_stands_first_whichever_way_is_better(tmp_path):
    acc = read(
        tmp_path / "a", [row(method="weak", value=0.3), row(method="strong", value=0.9), row(method="x", value=None)]
    )
    assert list(boards(acc)[0].methods) == ["strong", "weak", "x"]
    error = [row("alignment_error", method=name, value=value) for name, value in (("far", 5.0), ("near", 4.0))]
    assert list(boards(read(tmp_path / "b", error))[0].methods) == ["near", "far"]


def test_effects_and_costs_stand_in_tables_of_their_own(tmp_path):
    rows = [row(), row("perplexity", value=3.25), row("entropy", value=4.0), row("acc/openness", persona="openness+")]
    text = leaderboard_markdown(boards(read(tmp_path, rows)))
    assert "| mend | 0.500 [0.400, 0.600] | 0.250 |" in text and "| mend | 3.250 [0.400, 0.600] |" in text
    assert "openness" not in text and "entropy" not in text
    assert "- `perplexity`: perplexity of texts without a personality (lower is better)" in text


def test_a_benchmark_of_unknown_figures_shows_them_as_they_are(tmp_path):
    board = boards(read(tmp_path, [row("novel", benchmark="novel"), row("other", benchmark="novel")]))[0]
    assert board.effects == ("novel", "other") and board.costs == ()


def test_both_files_are_written_and_the_same_rows_give_the_same_bytes(tmp_path):
    rows = read(tmp_path / "in", [row(method=name) for name in ("none", "mend")] + [row("perplexity", value=None)])
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_leaderboard(rows, folder)
    assert (first / "leaderboard.png").read_bytes().startswith(PNG)
    for name in ("leaderboard.md", "leaderboard.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(("metric", "scale"), [("perplexity", "log"), ("drawdown", "linear")])
def test_a_broken_model_leaves_the_others_to_be_seen(tmp_path, metric, scale):
    rows = [row("acc"), *(row(metric, method=name, value=value) for name, value in (("mend", 1.2), ("broken", 500.0)))]
    axes = leaderboard_figure(boards(read(tmp_path, rows))).axes
    assert [axis.get_xscale() for axis in axes if axis.get_title().startswith(metric)] == [scale]


def test_nothing_to_compare_is_an_error():
    with pytest.raises(InputError, match="nothing to compare"):
        boards([])


@pytest.mark.parametrize("metrics", [("trait_expression", "perplexity"), ("trait_expression",), ("novel",)])
def test_a_sweep_is_drawn_and_tabled(tmp_path, metrics):
    points = [
        (value, read(tmp_path / str(value), [row(name, value=value / 10) for name in metrics])) for value in (1, 2)
    ]
    write_sweep(tmp_path / "out", "strength", points)
    assert (tmp_path / "out/sweep.png").read_bytes().startswith(PNG)
    text = (tmp_path / "out/sweep.md").read_text()
    assert "# mend over strength" in text and ("| 2 | 0.200" in text) == (metrics[0] != "novel")
