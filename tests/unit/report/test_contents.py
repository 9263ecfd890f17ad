"""What a report finds in results files: profiles, sweeps, texts, judges, costs, and what does not fit together."""

import pytest

from files.errors import InputError
from report.contents import contents
from report.judging import judge_of
from report.profiles import profiles
from report.provenance import origin_warnings
from report.spending import spendings
from report.sweeps import sweeps
from report.texts import read_texts
from tests.unit.report.results import by_trait, figure, record, rows_of, strengths, write_run


def test_a_profile_has_both_ends_of_a_trait_opposite_each_other(tmp_path):
    values = [place / 10 for place in range(10)]
    rows = rows_of(write_run(tmp_path, [*by_trait("npti", values, "+-"), *by_trait("none", [0.0] * 10, "+-")]))
    (found,) = profiles(rows)
    half = len(found.axes) // 2
    assert [axis[:-1] for axis in found.axes[:half]] == [axis[:-1] for axis in found.axes[half:]]
    assert found.of[0].method == "npti" and found.of[0].values == tuple(values) and found.of[0].base == (0.25,) * 10
    assert len(found.of) == 1 and found.scale == (0.0, 1.0)


def test_shapes_stand_on_the_axes_that_all_methods_have(tmp_path):
    wider = [*by_trait("simple_prompt", [0.5] * 5), figure("simple_prompt", 0.9, metric="trait_expression/narcissism")]
    (found,) = profiles(rows_of(write_run(tmp_path, [*wider, *by_trait("npti", [0.1] * 5)])))
    assert len(found.axes) == 5 and all(None not in profile.values for profile in found.of)


def test_fewer_than_three_traits_make_no_profile(tmp_path):
    assert not profiles(rows_of(write_run(tmp_path, by_trait("npti", [0.1] * 5)[:2])))


def test_a_sweep_is_ordered_by_its_numbers_and_controls_that_stand_still_are_left_out(tmp_path):
    swept = strengths("npti", {"10": 0.9, "0.5": 0.3, "2": 0.4}) + strengths("npti", {"2": 7.0}, "perplexity")
    still = strengths("random_neurons", {"10": 0.2, "0.5": 0.2, "2": 0.2})
    (found,) = sweeps(rows_of(write_run(tmp_path, swept + still)))
    assert found.values == ("0.5", "2", "10") and found.places == (0.5, 2.0, 10.0) and found.numeric
    assert [curve.metric for curve in found.curves] == ["acc"]
    assert [row.value for row in found.curves[0].rows] == [0.3, 0.4, 0.9]


def test_words_of_a_setting_keep_their_order(tmp_path):
    (found,) = sweeps(rows_of(write_run(tmp_path, strengths("repe", {"probe": 0.3, "pca": 0.4}))))
    assert found.values == ("probe", "pca") and found.places == (0.0, 1.0) and not found.numeric


def test_answers_of_all_methods_stand_beside_each_other(tmp_path):
    for name in ("npti", "ike"):
        write_run(tmp_path / name, [figure(name, 0.5)], [record(name, str(k), f"{name} {k}") for k in range(9)])
    found = read_texts(rows_of(tmp_path), 3)
    assert [one.answers for one in found] == [{"ike": f"ike {k}", "npti": f"npti {k}"} for k in (0, 3, 6)]
    assert found[0].base == "It is a drink." and found[0].persona == "openness+"


def test_records_below_a_merged_results_file_are_found(tmp_path):
    write_run(tmp_path, [figure("npti", 0.5), figure("ike", 0.4)])
    write_run(tmp_path / "bench" / "npti+ike", [figure("npti", 0.5)], [record("npti", "0", "Yes.")])
    assert [one.answers for one in read_texts(rows_of(tmp_path), 3)] == [{"npti": "Yes."}]


@pytest.mark.parametrize("left_out", ["method", "samples", "persona"])
def test_a_faulty_record_is_named(left_out, tmp_path):
    entry = {name: value for name, value in record("npti", "0", "Yes.").items() if name != left_out}
    write_run(tmp_path, [figure("npti", 0.5)], [record("npti", "1", "No."), entry])
    with pytest.raises(InputError) as caught:
        read_texts(rows_of(tmp_path), 3)
    assert all(part in str(caught.value) for part in ("records.jsonl", "row 2", left_out))


@pytest.mark.parametrize(
    ("judge", "name", "check"),
    [
        (None, None, None),
        ({"name": "scripted", "version": "3", "check": 0.4}, "scripted", 0.4),
        ({"name": "scripted", "version": "3", "check": None}, "scripted", None),
    ],
)
def test_a_judge_is_read_as_rows_name_it(judge, name, check, tmp_path):
    found = judge_of(rows_of(write_run(tmp_path, [figure("npti", 0.5, judge=judge)]))[0])
    assert (found and found.name, found and found.check) == (name, check)


def test_a_judge_below_the_limit_is_warned_of_and_a_good_one_is_not(tmp_path):
    for place, check in enumerate((0.49, 0.5)):
        judge = {"name": "scripted", "version": "1", "check": check}
        rows = rows_of(write_run(tmp_path / str(place), [figure("npti", 0.5, judge=judge)]))
        assert (contents(rows).judge_warning is not None) == (check < 0.5)


def test_what_does_not_fit_together_is_said(tmp_path):
    one = figure("npti", 0.5, commit="a" * 40, data_hash="d" * 64, versions={"torch": "2.13"})
    other = figure("ike", 0.4, commit="b" * 40 + "+changes", data_hash="e" * 64, versions={"torch": "2.12"}, n=20)
    found = contents(rows_of(write_run(tmp_path, [one, other])))
    text = "\n".join(found.warnings)
    for part in ("2 commits are mixed", "aaaaaaaa, bbbbbbbb+changes", "uncommitted changes", "torch 2.13 and 2.12"):
        assert part in text
    assert "not asked from the same data" in text and "(10, 20)" in text
    alike = [figure(name, 0.5, commit="a" * 40, data_hash="d" * 64) for name in ("npti", "ike")]
    rows = rows_of(write_run(tmp_path / "alike", alike))
    assert origin_warnings(rows, contents(rows).boards) == []


def test_costs_are_read_whatever_they_are(tmp_path):
    rows = [
        figure("a", 0.5, cost=None),
        figure("b", 0.5, cost=0.25),
        figure("c", 0.5, cost={"tokens": 90, "money": 1.5}),
        figure("d", 0.5, cost={"prompt_tokens": 10, "completion_tokens": 5}),
    ]
    found = {one.method: one for one in spendings(contents(rows_of(write_run(tmp_path, rows))).boards)}
    assert [(found[name].tokens, found[name].money) for name in "abcd"] == [
        (None, None),
        (None, 0.25),
        (90.0, 1.5),
        (15.0, None),
    ]
    assert found["a"].seconds == 2.0 and found["a"].peak_memory_mb == 100.0


def test_results_without_any_value_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to compare"):
        contents(rows_of(write_run(tmp_path, [figure("npti", None)])))
