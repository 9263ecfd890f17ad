"""Advantages, clipping and the price of divergence: cases worked by hand."""

import math

import pytest
import torch

from losses.ppo import (
    adapted_kl_coefficient,
    generalised_advantages,
    group_advantages,
    kl_estimate,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whitened,
)

ALL = torch.ones(1, 3, dtype=torch.bool)


def test_advantages_by_hand():
    # Surprises with gamma 0.5: 1 + 0.5 * 4 - 2 = 1;  0 + 0.5 * 6 - 4 = -1;  3 + 0 - 6 = -3.
    # From the back with gamma * lam = 0.25: -3;  -1 - 0.75 = -1.75;  1 - 0.4375 = 0.5625.
    rewards, values = torch.tensor([[1.0, 0.0, 3.0]]), torch.tensor([[2.0, 4.0, 6.0]])
    found = generalised_advantages(rewards, values, gamma=0.5, lam=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.5625, -1.75, -3.0]]))


def test_looking_to_the_end_is_the_return_less_the_value_and_looking_one_ahead_the_surprise():
    torch.manual_seed(0)
    rewards, values = torch.randn(2, 5), torch.randn(2, 5)
    returns = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(generalised_advantages(rewards, values, 1.0, 1.0), returns - values)
    ahead = torch.cat([values[:, 1:], torch.zeros(2, 1)], 1)
    torch.testing.assert_close(generalised_advantages(rewards, values, 0.9, 0.0), rewards + 0.9 * ahead - values)


def test_what_fills_rows_up_changes_no_advantage():
    rewards, values = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.25, 0.75]])
    wide = [torch.cat([part, torch.zeros(1, 3)], 1) for part in (rewards, values)]
    alone, padded = generalised_advantages(rewards, values, 1.0, 0.9), generalised_advantages(*wide, 1.0, 0.9)
    torch.testing.assert_close(padded[:, :2], alone)
    assert padded[:, 2:].abs().max() == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.5, 1.0, -1.2, 1.0),  # more than the clip allows: no more is gained, and no gradient flows
        (1.5, -1.0, 1.5, 0.0),  # what became likelier though it was bad is pushed back in full
        (0.5, 1.0, -0.5, 0.0),
        (0.5, -1.0, 0.8, 1.0),
        (1.1, 1.0, -1.1, 0.0),
    ],
)
def test_clipping_of_the_policy_by_hand(ratio, advantage, loss, clipped):
    new = torch.tensor([[math.log(ratio)]], requires_grad=True)
    one = torch.ones(1, 1)
    found = policy_loss(new, torch.zeros(1, 1), advantage * one, one.bool(), clip=0.2)
    assert float(found.loss.detach()) == pytest.approx(loss)
    assert float(found.clipped) == clipped
    found.loss.backward()
    assert (float(new.grad) == 0) == bool(clipped)


def test_clipping_of_the_value_by_hand():
    # Old value 1, clip 0.5. Predictions 3 and 1.2 for a return of 2: (3-2)^2 = 1 against (1.5-2)^2 = 0.25, so 1;
    # 0.64 against the same 0.64. Half their mean is 0.41.
    new, old, returns = torch.tensor([[3.0, 1.2]]), torch.ones(1, 2), torch.full((1, 2), 2.0)
    found = value_loss(new, old, returns, ALL[:, :2], clip=0.5)
    assert float(found.loss) == pytest.approx(0.41)
    assert float(found.clipped) == 0.0


def test_groups_by_hand():
    # Mean 2 and standard deviation sqrt(2); the second group is all alike and teaches nothing.
    found = group_advantages(torch.tensor([1.0, 3.0, 7.0, 7.0]), 2)
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0, 0.0, 0.0]) / math.sqrt(2), rtol=1e-3, atol=0)
    for size in (1, 3):
        with pytest.raises(ValueError, match="groups of 2 or more"):
            group_advantages(torch.zeros(4), size)


def test_whitening_counts_the_mask_alone():
    values, mask = torch.tensor([[1.0, 2.0, 3.0, 50.0]]), torch.tensor([[True, True, True, False]])
    found = whitened(values, mask)
    torch.testing.assert_close(found[0, :3], torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(whitened(values, mask, shift_mean=False)[0, :3], torch.tensor([1.0, 2.0, 3.0]))
    assert whitened(torch.tensor([[5.0]]), torch.ones(1, 1, dtype=torch.bool)).isfinite().all()
    assert float(masked_mean(values, torch.zeros_like(mask))) == 0.0


def test_divergence_is_paid_at_every_token_and_the_score_at_the_last():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    kl = kl_estimate(torch.tensor([[-1.0, -2.0, -1.0], [-1.0, 0.0, 0.0]]), torch.full((2, 3), -1.5))
    rewards = token_rewards(torch.tensor([1.0, 2.0]), kl, mask, kl_coefficient=2.0)
    torch.testing.assert_close(rewards, torch.tensor([[-1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert (kl_estimate(torch.randn(50), torch.randn(50), "k3") >= 0).all()
    with pytest.raises(ValueError, match="k1 or k3"):
        kl_estimate(kl, kl, "k2")


def test_the_price_follows_the_divergence_within_a_fifth():
    for kl, factor in ((6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (0.0, 0.98)):
        assert adapted_kl_coefficient(0.1, kl, 6.0, answers=100, horizon=1000) == pytest.approx(0.1 * factor)
