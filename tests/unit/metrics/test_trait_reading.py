"""A classifier reads the free answers of a benchmark; the benchmark's own figures stay as they are."""

import math

import pytest
import torch

from metrics.benchmark import Answers, Benchmark
from metrics.outcome import RecordScores, Sample
from metrics.trait_reading import TraitReading, wanted_poles
from personas.persona import Persona
from personas.questions import Questions

LONG = " ".join(f"word{n}" for n in range(20))
POLES = ("extraversion+", "extraversion-", "agreeableness+", "neutral")
SHARES = {"loud": [0.7, 0.1, 0.1, 0.1], "kind": [0.1, 0.1, 0.6, 0.2], "shy": [0.1, 0.7, 0.1, 0.1]}


class ByWord:
    """A classifier that knows three words, and counts what it reads."""

    poles = POLES

    def __init__(self):
        self.read = []

    def probabilities(self, texts):
        self.read.append(list(texts))
        known = [next(shares for word, shares in SHARES.items() if word in text) for text in texts]
        return torch.tensor(known, dtype=torch.float64)


class Spoken(Benchmark):
    """A benchmark whose records hold given answers."""

    name, headline = "spoken", ("own",)

    def __init__(self, said):
        self.said = said

    def measure(self, questions, base, persona):
        return [
            RecordScores(str(n), n, who, {"own": 0.0}, {"own": 1.0}, tuple(Sample("?", *pair) for pair in pairs))
            for n, (who, pairs) in enumerate(self.said)
        ]


NOTHING = Answers([], [], [], [], [], [])


def reading(said, poles=("extraversion+", "agreeableness+")):
    benchmark = TraitReading(Spoken(said), ByWord(), poles)
    questions = Questions(tuple(map(str, range(len(said)))), tuple(range(len(said))), tuple(who for who, _ in said))
    records = benchmark.measure(questions, NOTHING, NOTHING)
    return benchmark, records, {row.metric: row for row in benchmark.rows(records)}


SAID = [
    (Persona.trait("extraversion"), [(f"kind {LONG}", f"loud {LONG}")]),
    (Persona.trait("agreeableness"), [(f"loud {LONG}", f"loud {LONG}")]),
    (Persona.trait("extraversion"), [(f"kind {LONG}", "loud loud loud")]),
]


def test_figures_are_means_over_records():
    _, _, rows = reading(SAID)
    assert rows["acc"].value == pytest.approx(2 / 3) and rows["acc"].base_value == 0.0
    assert rows["acc/extraversion"].value == 1.0 and rows["acc/agreeableness"].value == 0.0
    closer = math.log(0.7 / 0.8) - math.log(0.1 / 0.7)
    assert rows["tpei"].value == pytest.approx(closer / 2) and rows["tpei"].n == 2
    assert rows["tpei"].base_value == 0.0
    assert rows["tpei_skipped"].value == 1.0 and rows["tpei_skipped"].n == 3
    assert rows["trait_expression"].value == pytest.approx(0.6) and rows["trait_expression"].n == 2
    assert rows["trait_expression"].base_value == pytest.approx(0.0)
    assert rows["trait_profile/extraversion"].n == 3
    assert {row.persona for row in rows.values() if "/" not in row.metric} == {"all"}


def test_the_benchmarks_own_figures_are_untouched():
    benchmark, records, rows = reading(SAID)
    own = {row.metric: row for row in Spoken(SAID).rows(Spoken(SAID).measure(None, NOTHING, NOTHING))}
    assert {name: rows[name] for name in own} == own
    assert benchmark.name == "spoken" and benchmark.headline[0] == "own" and "acc" in benchmark.compared
    assert list(records[0].values)[0] == "own"


def test_both_ends_of_a_trait_are_told_apart_and_wanted_ones_count_upwards():
    said = [
        (Persona.trait("extraversion"), [(f"kind {LONG}", f"loud {LONG}")]),
        (Persona.trait("extraversion", -1.0), [(f"kind {LONG}", f"shy {LONG}")]),
    ]
    _, _, rows = reading(said, ("extraversion+", "extraversion-"))
    assert rows["trait_expression/extraversion+"].value == pytest.approx(0.6)
    assert rows["trait_expression/extraversion-"].value == pytest.approx(-0.6)
    assert rows["trait_expression"].value == pytest.approx(0.6) and rows["acc"].value == 1.0


def test_the_base_models_answers_are_read_once_for_all_methods():
    benchmark, _, _ = reading(SAID)
    before = [pair[0] for _, pairs in SAID for pair in pairs]
    assert benchmark.classifier.read[0] == list(dict.fromkeys(before))
    count = len(benchmark.classifier.read)
    benchmark.measure(Questions((), (), ()), NOTHING, NOTHING)
    assert len(benchmark.classifier.read) == count


def test_what_is_read_together_does_not_depend_on_what_was_read_before():
    benchmark, _, _ = reading(SAID)
    count = len(benchmark.classifier.read)
    benchmark.inner.said = later = [*SAID[1:], (Persona.trait("extraversion"), [(f"kind {LONG}", f"shy {LONG}")])]
    benchmark.measure(Questions((), (), ()), NOTHING, NOTHING)
    going_on, _, _ = reading(later)
    assert benchmark.classifier.read[count:] == going_on.classifier.read


def test_who_wants_no_trait_or_says_nothing_has_no_figures():
    _, records, rows = reading([(Persona("nobody"), [(f"kind {LONG}", f"loud {LONG}")])])
    assert records[0].values["acc"] is None and records[0].values["trait_profile/extraversion"] is not None
    assert rows["acc"].value is None
    _, _, silent = reading([(Persona.trait("extraversion"), [])])
    assert set(silent) == {"own", "own/extraversion"}


def test_poles_a_classifier_does_not_know_are_left_out():
    _, records, rows = reading([(Persona.trait("openness"), [(f"kind {LONG}", f"loud {LONG}")])], ("openness+",))
    assert "acc" not in rows and records[0].values["trait_expression"] is None


def test_wanted_poles_are_named_once():
    people = [
        Persona.trait("openness", 0.5),
        Persona.trait("openness"),
        Persona("who", {"openness": 1.0, "anger": 1.0}),
    ]
    assert wanted_poles(people) == ["openness+"]
