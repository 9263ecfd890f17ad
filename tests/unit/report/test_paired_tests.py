"""Paired tests between methods from results and records on disk, every number worked out here."""

import json
import math

import pytest
import torch

from files.errors import InputError
from metrics.result_rows import read_results
from report.paired_tests import paired_tests, paired_tests_markdown, won_rows, write_paired_tests

BASE = [0.1, 0.2, 0.3, 0.4]
# by method: its value of each row
VALUES = {"mend": [0.6, 0.7, 0.8, 1.3], "ike": [0.2, 0.3, 0.4, 0.5]}


def write_run(folder, methods, values=None, persona="openness+"):
    """A finished evaluation: results of each method, and records of each."""
    folder.mkdir(parents=True)
    values = values or {method: VALUES[method] for method in methods}
    named = {"schema": 1, "benchmark": "b", "model": "lm", "persona": "all", "seed": 1}
    rows = [
        {**named, "method": method, "metric": "acc", "value": sum(of) / len(of), "n": len(of), "base_value": 0.25}
        for method, of in values.items()
    ]
    lines = [
        {
            "method": method,
            "id": f"item-{place}:{persona}",
            "persona": {"name": persona, "levels": {"openness": 1}},
            "base": {"acc": before},
            "values": {"acc": after},
        }
        for method, of in values.items()
        for place, (before, after) in enumerate(zip(BASE, of, strict=True))
    ]
    (folder / "results.json").write_text(json.dumps(rows))
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return read_results(folder / "results.json")


def test_methods_are_tested_against_the_base_and_the_best(tmp_path):
    rows = [*write_run(tmp_path / "a", ["mend"]), *write_run(tmp_path / "b", ["ike"])]
    found = {(test.method, test.other): test for test in paired_tests(rows)}
    assert list(found) == [("mend", "none"), ("ike", "none"), ("mend", "ike")]
    # differences of mend and base are 0.5, 0.5, 0.5 and 0.9; two of the 16 changes of sign reach their sum
    test = found["mend", "none"]
    assert test.difference.value == pytest.approx(0.6) and test.difference.n == 4
    assert test.p == pytest.approx(2 / 16) and test.p_holm == pytest.approx(3 * 2 / 16)
    assert test.effect == pytest.approx(0.6 / math.sqrt((3 * 0.1**2 + 0.3**2) / 3))
    assert found["mend", "ike"].difference.value == pytest.approx(0.5)
    assert found["ike", "none"].effect == math.inf  # 0.1 everywhere
    text = write_paired_tests(list(found.values()), tmp_path / "out")
    assert (tmp_path / "out" / "paired_tests.md").read_text() == text
    assert "| `acc` | mend | none | 0.600" in text and "| 4 | 0.125 | 0.375 | 3.000 | 1.000 [1.000, 1.000] |" in text


def test_wins_are_the_rows_on_which_a_method_is_better(tmp_path):
    # right where the base is wrong on three of four rows, equal on the last
    [test] = paired_tests(write_run(tmp_path / "a", ["mend"], {"mend": [0.9, 0.9, 0.9, 0.4]}))
    assert test.wins.value == 3.5 / 4 and test.wins.n == 4 and 0.5 <= test.wins.low < 3.5 / 4 < test.wins.high <= 1
    assert "| 0.875 [" in paired_tests_markdown([test])
    assert won_rows(torch.tensor([-1.0, -1.0, 1.0]), "lower").value == pytest.approx(2 / 3)


def test_seeds_and_personas_of_one_item_are_one_row(tmp_path):
    root = tmp_path / "seeds"
    for seed, shift in (("seed-0", 0.0), ("seed-1", 0.2)):
        write_run(root / seed, ["mend"], {"mend": [value + shift for value in VALUES["mend"]]}, f"openness{seed}")
    (root / "results.json").write_text((root / "seed-0" / "results.json").read_text())
    [test] = paired_tests(read_results(root / "results.json"))
    assert test.difference.n == 4 and test.difference.value == pytest.approx(0.7)


def test_the_base_is_not_tested_against_itself(tmp_path):
    rows = write_run(tmp_path / "a", ["none", "mend"], {"none": BASE, "mend": VALUES["mend"]})
    assert [(test.method, test.other) for test in paired_tests(rows)] == [("mend", "none")]


def test_without_records_nothing_is_tested(tmp_path):
    rows = write_run(tmp_path / "a", ["mend"])
    (tmp_path / "a" / "records.jsonl").unlink()
    assert paired_tests(rows) == [] and paired_tests_markdown([]) == ""
    assert write_paired_tests([], tmp_path / "out") == "" and not (tmp_path / "out").exists()


def test_a_faulty_record_is_named(tmp_path):
    rows = write_run(tmp_path / "a", ["mend"])
    file = tmp_path / "a" / "records.jsonl"
    file.write_text(file.read_text().replace('"values": {"acc": 0.7}', '"values": {"acc": "much"}'))
    with pytest.raises(InputError, match="wrong type") as caught:
        paired_tests(rows)
    assert caught.value.row == 2 and caught.value.field == "acc"
