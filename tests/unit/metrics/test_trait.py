"""Figures of TRAIT from answers, against the arithmetic written out."""

import pytest
import torch

from metrics.benchmark import Answers
from metrics.trait import TraitBenchmark, part_of
from personas.persona import Persona
from personas.questions import Choice, Questions

HIGH, LOW, CLOSE = [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.3, 0.25, 0.25, 0.2]


def asked(ids, personas, layouts=1):
    return Questions(
        tuple(ids),
        tuple(range(len(ids))),
        tuple(personas),
        choices=tuple(
            Choice(record, part_of(layout, order), [], ("A", "B", "C", "D"))
            for record in range(len(ids))
            for layout in range(layouts)
            for order in range(2)
        ),
    )


def answers(rows, outside=0.25):
    return Answers([], [], [], [torch.tensor(row) for row in rows], [outside] * len(rows), [])


def both(trait="openness"):
    return [Persona.trait(trait), Persona.trait(trait, -1)]


def figures(benchmark, records):
    return {row.metric: row for row in benchmark.rows(records)}


def test_scores_follow_the_level_asked_for():
    benchmark = TraitBenchmark(["question"], {"0": "openness"})
    # in the plain order the first option is high, in the reversed one the second
    questions = asked(["0:openness+", "0:openness-"], both())
    base, persona = answers([HIGH, LOW] * 2), answers([HIGH, LOW, LOW, HIGH])
    records = benchmark.measure(questions, base, persona)
    assert [record.values["trait_score"] for record in records] == [100.0, 0.0]
    assert [record.values["level_followed"] for record in records] == [1.0, 1.0]
    assert [record.base["level_followed"] for record in records] == [1.0, 0.0]
    # plain: 0.7 + 0.1 on high; reversed: 0.7 + 0.1; under the low persona 0.2 in both
    assert records[0].values["high_probability"] == pytest.approx(0.8)
    assert records[1].values["high_probability"] == pytest.approx(0.2)
    rows = figures(benchmark, records)
    assert rows["trait_score/openness+"].value == 100.0 and rows["trait_score/openness-"].value == 0.0
    assert rows["trait_score/openness-"].base_value == 100.0
    assert rows["trait_score_range"].value == 100.0 and rows["trait_score_range"].base_value == 0.0
    assert rows["trait_score"].n == 1 and rows["trait_score/openness"].value == 50.0
    assert rows["mass_outside"].value == pytest.approx(0.25)
    assert rows["layout_sensitivity"].value is None


def test_orders_and_layouts_that_disagree_are_counted():
    benchmark = TraitBenchmark(["question", "brackets"], {"0": "openness"})
    questions = asked(["0:nobody"], [Persona("nobody")], layouts=2)
    # first layout: A in both orders, so high alone in one and low alone in the other; second: low in both
    [record] = benchmark.measure(questions, *[answers([HIGH, CLOSE, LOW, HIGH])] * 2)
    assert record.values["order_sensitivity"] == 0.5
    assert record.values["trait_score_in_question"] == 50.0 and record.values["trait_score_in_brackets"] == 0.0
    assert record.values["trait_score"] == 25.0 and record.values["layout_sensitivity"] == 1.0
    # the mean of both orders: 0.475 and 0.25 on the high responses against 0.175 and 0.15; then all on the low ones
    assert record.values["trait_score_as_released"] == 50.0
    assert record.values["level_followed"] is None


def test_who_follows_letters_alone_has_no_level():
    benchmark = TraitBenchmark(["question"], {"0": "openness"})
    lean = [0.36, 0.34, 0.15, 0.15]  # a hair's breadth more on A where it is high
    [record] = benchmark.measure(asked(["0:openness-"], both()[1:]), *[answers([lean, [0.35, 0.35, 0.15, 0.15]])] * 2)
    assert record.values["trait_score"] == 50.0 and record.values["level_followed"] == 0.5
    assert record.values["trait_score_as_released"] == 100.0 and record.values["order_sensitivity"] == 1.0


def test_intervals_are_over_items_not_over_the_levels_of_an_item():
    benchmark = TraitBenchmark(["question"], {str(n): "openness" for n in range(6)})
    records = []
    for n in range(6):
        rows = [HIGH, LOW, HIGH, LOW] if n % 2 else [LOW, HIGH, LOW, HIGH]
        records += benchmark.measure(asked([f"{n}:openness+", f"{n}:openness-"], both()), *[answers(rows)] * 2)
    row = figures(benchmark, records)["trait_score"]
    assert row.n == 6 and row.ci_low < 50 < row.ci_high


def test_answers_besides_the_options_are_warned_of():
    benchmark = TraitBenchmark(["question"], {"0": "openness"})
    questions = asked(["0:nobody"], [Persona("nobody")])
    for outside, warned in ((0.4, 0), (0.6, 1)):
        records = benchmark.measure(questions, *[answers([HIGH, LOW], outside)] * 2)
        assert len(benchmark.warnings(records, "none")) == warned
