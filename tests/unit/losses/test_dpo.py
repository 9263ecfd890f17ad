"""Losses on pairs: cases worked by hand, gradients, and settings that mean nothing."""

import math

import pytest
import torch

from losses.dpo import PairLogProbs, PairOptions, margins, pair_loss, preference_loss


def probs(chosen, rejected, chosen_tokens=4.0, rejected_tokens=2.0):
    values = (chosen, rejected, chosen_tokens, rejected_tokens)
    return PairLogProbs(*(torch.tensor([float(value)]) for value in values))


def test_ipo_by_hand():
    # The margin is (-3 + 5) - (-6 + 2) = 6; with beta 0.25 it is drawn to 2, so the loss is 16.
    policy, reference = probs(-3, -6), probs(-5, -2)
    assert float(margins(policy, reference)) == 6.0
    assert float(preference_loss(policy, reference, PairOptions("ipo", 0.25))) == 16.0
    # Per token: 2 / 4 - (-4) / 2 = 2.5, and (2.5 - 2) ** 2.
    normalised = PairOptions("ipo", 0.25, length_normalised=True)
    assert float(preference_loss(policy, reference, normalised)) == pytest.approx(0.25)


def test_smoothing_by_hand():
    # sigmoid(ln 3) = 3/4: the loss is -0.9 ln(3/4) - 0.1 ln(1/4).
    loss = pair_loss(torch.tensor([2 * math.log(3)]), "sigmoid", beta=0.5, label_smoothing=0.1)
    assert float(loss) == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_the_term_of_the_preferred_answers_is_their_loss_per_token():
    policy = PairLogProbs(*(torch.tensor(v) for v in ([-2.0, -10.0], [-1.0, -1.0], [2.0, 8.0], [1.0, 1.0])))
    plain = preference_loss(policy, policy, PairOptions())
    assert float(plain) == pytest.approx(math.log(2))
    assert float(preference_loss(policy, policy, PairOptions(sft_weight=0.5)) - plain) == pytest.approx(0.5 * 12 / 10)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_the_gradient_is_that_of_finite_differences(kind):
    margin = torch.tensor([0.3, -1.2, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: pair_loss(m, kind, beta=0.2), (margin,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PairOptions(beta=0.0), "beta: expected"),
        (PairOptions(label_smoothing=0.5), "label_smoothing: expected"),
        (PairOptions("ipo", label_smoothing=0.1), "only the sigmoid loss"),
        (PairOptions(sft_weight=-1.0), "sft_weight: expected"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        options.check()
    with pytest.raises(ValueError, match="expected sigmoid"):
        pair_loss(torch.zeros(1), "square", beta=1.0)
