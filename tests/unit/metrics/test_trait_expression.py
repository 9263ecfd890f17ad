"""Acc, TPEI and trait expression against numbers worked out here."""

import math

import pytest
import torch

from metrics.trait_expression import (
    EditIndex,
    PoleAccuracy,
    TraitExpression,
    edit_index,
    pole_accuracy,
    pole_log_probs,
    trait_expression,
)

# five poles: extraversion+, extraversion-, agreeableness+, neuroticism+, neutral
BEFORE = torch.tensor([[0.2, 0.1, 0.2, 0.4, 0.1], [0.1, 0.1, 0.1, 0.1, 0.6]], dtype=torch.float64)
AFTER = torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.1, 0.3]], dtype=torch.float64)
CANDIDATES = torch.tensor([0, 2, 3])
WANTED = torch.tensor([0, 2])


def test_accuracy_looks_among_the_candidates_only():
    assert pole_accuracy(BEFORE, CANDIDATES, WANTED).tolist() == [0.0, 0.0]
    assert pole_accuracy(AFTER, CANDIDATES, WANTED).tolist() == [1.0, 0.0]
    # the neutral pole is the likeliest of all, but no candidate
    assert pole_accuracy(BEFORE[1:], CANDIDATES, torch.tensor([0])).tolist() == [1.0]


def test_the_edit_index_is_the_loss_before_minus_the_loss_after():
    expected = [math.log(0.6 / 0.8) - math.log(0.2 / 0.8), math.log(0.1 / 0.5) - math.log(0.1 / 0.3)]
    torch.testing.assert_close(edit_index(BEFORE, AFTER, CANDIDATES, WANTED), torch.tensor(expected).double())
    assert edit_index(AFTER, AFTER, CANDIDATES, WANTED).tolist() == [0.0, 0.0]


def test_a_probability_of_zero_gives_a_finite_index():
    sure = torch.tensor([[1.0, 0.0]])
    found = edit_index(sure, sure.flip(-1), torch.tensor([0, 1]), torch.tensor([1]))
    assert torch.isfinite(found).all() and found > 20


def test_expression_is_high_minus_low():
    assert trait_expression(AFTER, torch.tensor([0]), torch.tensor([1]))[:, 0].tolist() == pytest.approx([0.5, -0.1])


@pytest.mark.parametrize("candidates", [[0], [0, 5], [-1, 0]])
def test_candidates_that_mean_nothing_are_refused(candidates):
    with pytest.raises(ValueError, match="candidates"):
        pole_log_probs(BEFORE, torch.tensor(candidates))


def test_metrics_average_over_texts_and_batches():
    accuracy, index, expression = PoleAccuracy([0, 2, 3]), EditIndex([0, 2, 3]), TraitExpression(["e"], [0], [1])
    for row in (slice(0, 1), slice(1, 2)):
        accuracy.update(AFTER[row], WANTED[row])
        index.update(BEFORE[row], AFTER[row], WANTED[row], torch.tensor([True]))
        expression.update(AFTER[row])
    assert accuracy.compute()["acc"].item() == 0.5
    found = edit_index(BEFORE, AFTER, CANDIDATES, WANTED)
    assert index.compute()["tpei"].item() == pytest.approx(found.mean().item())
    assert expression.compute()["e"].item() == pytest.approx(0.2)
    assert accuracy.intervals()["acc"].n == 2


def test_incoherent_texts_are_counted_and_left_out():
    metric = EditIndex([0, 2, 3])
    metric.update(BEFORE, AFTER, WANTED, torch.tensor([True, False]))
    found = metric.compute()
    assert found["tpei"].item() == pytest.approx(math.log(3)) and found["empty_records"] == 1


def test_every_trait_needs_both_ends():
    with pytest.raises(ValueError, match="high and a low pole"):
        TraitExpression(["e", "a"], [0], [1])
