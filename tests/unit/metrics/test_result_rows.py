"""Results files are found, read and checked."""

import json

import pytest

from files.errors import InputError
from metrics.result_rows import by_run, find_results, read_results


def row(metric="acc", method="mend", value=0.5, **changes):
    return {
        "schema": 1,
        "benchmark": "personality_edit",
        "method": method,
        "model": "tiny",
        "persona": "all",
        "metric": metric,
        "value": value,
        "ci_low": 0.4,
        "ci_high": 0.6,
        "n": 10,
        "base_value": 0.25,
        "seed": 1,
        "seconds": 2.0,
        "peak_memory_mb": 100,
        **changes,
    }


def write(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(rows))
    return folder


def test_rows_come_back_as_they_were_written(tmp_path):
    write(tmp_path, [row(), row("acc/extraversion", persona="extraversion+", value=None)])
    first, second = read_results(tmp_path / "results.json")
    assert (first.value, first.n, first.peak_memory_mb, first.plain) == (0.5, 10, 100.0, True)
    assert second.value is None and not second.plain and second.raw["metric"] == "acc/extraversion"


def test_a_folder_with_results_stands_for_all_below_it(tmp_path):
    write(tmp_path / "a", [row()])
    write(tmp_path / "a" / "inner", [row()])
    write(tmp_path / "b" / "c", [row()])
    found = [path.parent.relative_to(tmp_path).as_posix() for path in find_results([tmp_path, tmp_path / "a"])]
    assert found == ["a", "b/c"]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_results_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        find_results([tmp_path / name])
    assert name in str(caught.value) and "--compare" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"metric": "acc"}, ("not a results file",)),
        ([row(), {**row(), "value": "high"}], ("row 1", "'value'")),
        ([{name: value for name, value in row().items() if name != "method"}], ("row 0", "'method'")),
    ],
)
def test_a_faulty_file_is_named(tmp_path, content, parts):
    write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_results(tmp_path / "results.json")
    assert all(part in str(caught.value) for part in ("results.json", *parts))


def test_runs_of_one_method_are_told_apart_by_folder(tmp_path):
    rows = [one for name in ("x", "y") for one in read_results(write(tmp_path / name, [row()]) / "results.json")]
    assert list(by_run(rows)["personality_edit", "tiny"]) == ["mend (x)", "mend (y)"]
    assert list(by_run(rows[:1])["personality_edit", "tiny"]) == ["mend"]
