"""Figures of PAPI against numbers worked out here, scikit-learn-free, and against scipy and numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from metrics.benchmark import Answers
from metrics.papi import PapiBenchmark
from metrics.reliability import cronbach_alpha, pearson
from personas.people import persona_of
from personas.questionnaire import Item, Participant, Questionnaire
from personas.questions import Choice, Generation, Questions
from personas.traits import BIG_FIVE

LETTERS = "ABCDE"
SCORED = tuple(Item(10 + n, f"Do {n}.", BIG_FIVE[n % 5], 1 if n < 10 else -1, "trust") for n in range(20))
QUESTIONNAIRE = Questionnaire((Item(1, "Sing.", "openness", 1),), SCORED)


def people(count, seed=0):
    rng = np.random.default_rng(seed)
    return [Participant(str(n), n, bytes([3, *rng.integers(1, 6, 20).tolist()])) for n in range(count)]


def asked(group, kind=Choice):
    questions = []
    for record in range(len(group)):
        for item in SCORED:
            prompt = [{"role": "user", "content": item.text}]
            questions.append(
                Choice(record, str(item.number), prompt, tuple(LETTERS))
                if kind is Choice
                else Generation(record, str(item.number), prompt)
            )
    return Questions(
        ids=tuple(person.case for person in group),
        order=tuple(person.position for person in group),
        personas=tuple(persona_of(person, QUESTIONNAIRE) for person in group),
        **{"choices" if kind is Choice else "generations": tuple(questions)},
    )


def answers(letters):
    """Answers by likelihood: the chosen letter has most of the probability."""
    rows = [torch.full((5,), 0.1).index_fill(0, torch.tensor(LETTERS.index(letter)), 0.6) for letter in letters]
    return Answers([], [], [], rows, [0.25] * len(rows), [])


def letters_of(group):
    """What the people said themselves."""
    return [LETTERS[5 - answer] for person in group for answer in person.scored(QUESTIONNAIRE)]


def figures(benchmark, records):
    return {row.metric: row for row in benchmark.rows(records)}


def test_a_model_that_answers_as_the_people_did_has_no_error():
    group = people(6)
    benchmark = PapiBenchmark(QUESTIONNAIRE, group)
    same, always = answers(letters_of(group)), answers(["C"] * 120)
    rows = figures(benchmark, benchmark.measure(asked(group), always, same))
    for metric in ("alignment_error", "alignment_error_keyed", "alignment_error_as_released"):
        assert rows[metric].value == 0 < rows[metric].base_value
    assert rows["trait_correlation"].value == pytest.approx(1)
    assert rows["trait_correlation"].base_value is None
    assert rows["cronbach_alpha"].base_value is None
    assert rows["answer_entropy"].base_value == 0 < rows["answer_entropy"].value
    assert rows["one_letter"].base_value == 1 and rows["one_letter"].value == 0
    assert rows["mass_outside"].value == pytest.approx(0.25)
    assert rows["answer_count/C"].base_value == 120 and rows["parse_failures"].value == 0
    assert {row.persona for name, row in rows.items() if "/" not in name} == {"all"}


def test_errors_are_sums_over_traits_of_means_over_items():
    group = people(5)
    values = np.array([list(person.scored(QUESTIONNAIRE)) for person in group], dtype=float)
    chosen = np.random.default_rng(7).integers(1, 6, values.shape)
    benchmark = PapiBenchmark(QUESTIONNAIRE, group)
    given = answers([LETTERS[5 - score] for score in chosen.flatten()])
    rows = figures(benchmark, benchmark.measure(asked(group), given, given))
    of_trait = np.array([[BIG_FIVE.index(item.trait) == number for item in SCORED] for number in range(5)])
    signs = np.array([item.key for item in SCORED])
    gaps, own = np.abs(chosen - values), np.where(signs > 0, chosen, 6 - chosen)
    theirs = np.where(signs > 0, values, 6 - values)
    by_trait = np.array([gaps[:, mask].mean(1) for mask in of_trait])
    assert rows["alignment_error"].value == pytest.approx(by_trait.sum(0).mean())
    means = np.array([[side[:, mask].mean(1) for mask in of_trait] for side in (own, theirs)])
    assert rows["alignment_error_keyed"].value == pytest.approx(np.abs(means[0] - means[1]).sum(0).mean())
    for number, trait in enumerate(BIG_FIVE):
        assert rows[f"alignment_error/{trait}"].value == pytest.approx(by_trait[number].mean())
        assert rows[f"trait_mean/{trait}"].value == pytest.approx(means[0, number].mean())
        assert rows[f"trait_std/{trait}"].value == pytest.approx(own[:, of_trait[number]].std(1).mean())
        assert rows[f"trait_correlation/{trait}"].value == pytest.approx(pearsonr(*means[:, number]).statistic)
        scale = own[:, of_trait[number]]
        alpha = 4 / 3 * (1 - scale.var(0, ddof=1).sum() / scale.sum(1).var(ddof=1))
        assert rows[f"cronbach_alpha/{trait}"].value == pytest.approx(alpha)


def test_missing_answers_count_as_nothing_but_as_zero_in_the_release():
    person = Participant("0", 0, bytes([3, *([4] * 19), 0]))
    benchmark = PapiBenchmark(QUESTIONNAIRE, [person])
    given = answers(["B"] * 20)
    rows = figures(benchmark, benchmark.measure(asked([person]), given, given))
    assert rows["alignment_error"].value == 0
    assert rows["alignment_error_as_released"].value == pytest.approx(4 / 4)


def test_generated_answers_are_parsed_with_what_stands_before_them():
    person = Participant("0", 0, bytes([3, *([4] * 20)]))
    texts = [" (B). Moderately", "B", " nothing", "(B)"] * 5
    given = Answers([], [], [], [], [], texts)
    for as_released, failures in ((False, 5), (True, 10)):
        benchmark = PapiBenchmark(QUESTIONNAIRE, [person], prefix="Option ", as_released=as_released)
        rows = figures(benchmark, benchmark.measure(asked([person], Generation), given, given))
        assert rows["alignment_error"].value == 0
        assert rows["parse_failures"].value == failures
        assert rows["mass_outside"].value is None


def test_one_letter_for_everything_is_warned_of():
    group = people(4)
    benchmark = PapiBenchmark(QUESTIONNAIRE, group)
    mixed = answers([*(["A"] * 40), *letters_of(group)[40:]])
    records = benchmark.measure(asked(group), mixed, mixed)
    (text,) = benchmark.warnings(records, "pas")
    assert "pas" in text and "2 of 4 people" in text and "A for 2" in text and "answer_entropy" in text
    fine = answers(letters_of(group))
    assert benchmark.warnings(benchmark.measure(asked(group), fine, fine), "pas") == []


def test_scores_come_back_from_the_journal():
    group = people(2)
    benchmark = PapiBenchmark(QUESTIONNAIRE, group)
    given = answers(letters_of(group))
    records = benchmark.measure(asked(group), given, given)
    again = [type(record).from_json(record.to_json()) for record in records]
    assert figures(benchmark, again) == figures(benchmark, records)


def test_alpha_of_one_person_or_one_item_means_nothing():
    with pytest.raises(ValueError, match="at least two"):
        cronbach_alpha(torch.zeros(1, 4))
    assert math.isnan(cronbach_alpha(torch.ones(4, 4)))
    assert cronbach_alpha(torch.tensor([[1.0, 5.0], [2.0, 1.0], [4.0, 3.0]])) < 1


def test_correlation_of_what_does_not_vary_means_nothing():
    assert math.isnan(pearson(torch.full((3,), 0.1), torch.rand(3)))
    with pytest.raises(ValueError, match="shape"):
        pearson(torch.zeros(3), torch.zeros(4))
