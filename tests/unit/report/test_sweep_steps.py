"""Steps of a sweep: paired by item, from each value to the next one by size."""

import pytest

from metrics.result_rows import read_results
from report.sweep_steps import step_rows
from tests.unit.report.results import figure, record, write_run

ENDS = ("openness+", "openness-")


def point(folder, value, scores):
    """An evaluation at a value: two personas of every item, one of them by 0.2 above what is given."""
    records = [
        record("npti", f"item-{place}:{end}", "", persona=end, acc=score + (0.2 if end == ENDS[0] else 0.0))
        for place, score in enumerate(scores)
        for end in ENDS
    ]
    mean = sum(scores) / len(scores) + 0.1
    write_run(folder, [figure("npti", mean), figure("npti", 3.0, metric="perplexity")], records)
    return value, read_results(folder / "results.json")


def test_a_step_is_the_paired_difference_to_the_next_smaller_value(tmp_path):
    points = [
        point(tmp_path / "4", 4, [0.5, 0.5, 0.5, 0.4]),
        point(tmp_path / "0", 0, [0.1, 0.2, 0.3, 0.0]),
        point(tmp_path / "0.5", 0.5, [0.3, 0.4, 0.5, 0.2]),
    ]
    first, second = step_rows("strength", points)
    assert (first["metric"], second["metric"]) == ("acc_step/strength=0.5", "acc_step/strength=4")
    assert [first[key] for key in ("value", "ci_low", "ci_high")] == pytest.approx([0.2] * 3)
    assert second["value"] == pytest.approx(0.125) and second["ci_low"] < 0.125 < second["ci_high"]
    assert first["n"] == 4 and first["base_value"] is None and first["method"] == "npti"


def test_names_keep_their_order_and_what_has_no_records_has_no_steps(tmp_path):
    points = [point(tmp_path / name, name, [0.1 * (place + 1)] * 3) for place, name in enumerate(("pca", "probe"))]
    (step,) = step_rows("estimate", points)
    assert step["metric"] == "acc_step/estimate=probe" and step["value"] == pytest.approx(0.1)
    (tmp_path / "pca" / "records.jsonl").unlink()
    assert step_rows("estimate", points) == []
