"""The comparison of evaluations by one process and by two: what is the same, what is near, and what is not there."""

import json
import math

import pytest
import torch

from benchmarks.processes import apart, compared_tables, far


def evaluated(folder, value, answer="Tea.", ids=("a", "b"), seconds=1.0):
    folder.mkdir()
    row = {"method": "pas", "persona": "all", "metric": "acc", "value": value, "n": 2, "seconds": seconds}
    (folder / "results.json").write_text(json.dumps([row]))
    lines = [{"method": "pas", "id": name, "values": {"acc": value}, "samples": [{"persona": answer}]} for name in ids]
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_tables_are_compared_row_by_row(tmp_path):
    one = evaluated(tmp_path / "one", 0.5)
    again = evaluated(tmp_path / "again", 0.5, seconds=9.0)
    assert compared_tables("pas", one, again) == {"rows_pas": 3, "rows_differ_pas": 0, "figures_pas": 0.0}
    near = compared_tables("pas", one, evaluated(tmp_path / "near", 0.5 + 1e-6))
    assert near["rows_differ_pas"] == 0 and near["figures_pas"] == pytest.approx(1e-6)
    assert compared_tables("pas", one, evaluated(tmp_path / "other", 0.5, answer="No."))["rows_differ_pas"] == 2
    assert compared_tables("pas", one, evaluated(tmp_path / "less", 0.5, ids=("a",)))["rows_differ_pas"] == 1


def test_other_names_are_infinitely_far():
    assert apart({"a": torch.ones(2)}, {"b": torch.ones(2)}) == math.inf
    assert far({"a": 1.0}, {}) == math.inf
    assert apart({}, {}) == far({}, {}) == 0.0
