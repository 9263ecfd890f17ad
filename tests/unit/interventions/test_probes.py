"""Batched probes against scikit-learn, probe by probe."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from files.errors import InputError
from interventions import logistic, probes
from interventions.head_directions import mean_difference, projection_std, unit_directions
from interventions.probes import best_heads, fit_probes, held_back


def samples(count=40, groups=5, width=12, people=3, scale=1.0, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(people, count, generator=generator) < 0.4).long()
    labels[:, 0], labels[:, 1], labels[:, -2], labels[:, -1] = 0, 1, 0, 1
    features = torch.randn(count, groups, width, generator=generator)
    for person in range(people):
        features += labels[person, :, None, None] * torch.randn(groups, width, generator=generator)
    return scale * features + offset * torch.randn(groups, width, generator=generator), labels


def scikit_learn(features, labels, used, c=1.0):
    """Decision values (P, G, N) of scikit-learn's regression, with its most exact solver."""
    values = torch.empty(len(labels), features.shape[1], len(features), dtype=torch.float64)
    rows = features.double().numpy()
    for person, group in np.ndindex(*values.shape[:2]):
        chosen = used[person].numpy()
        model = LogisticRegression(C=c, tol=1e-10, max_iter=1000, solver="newton-cholesky")
        model.fit(rows[chosen, group], labels[person].numpy()[chosen])
        values[person, group] = torch.from_numpy(model.decision_function(rows[:, group]))
    return values


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"count": 20, "width": 50},
        {"scale": 0.01},
        {"scale": 30.0},
        {"offset": 100.0},
        {"count": 6, "width": 3, "people": 1},
        {"seed": 1, "count": 120, "width": 64},
    ],
    ids=str,
)
def test_decision_values_are_those_of_scikit_learn(options):
    features, labels = samples(**options)
    used = torch.ones_like(labels, dtype=torch.bool)
    fitted = fit_probes(features, labels)
    want = scikit_learn(features, labels, used)
    torch.testing.assert_close(fitted.decide(features), want, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_people_may_use_different_samples(c):
    features, labels = samples(people=4)
    used = torch.rand(labels.shape, generator=torch.Generator().manual_seed(5)) < 0.7
    used[:, :2], used[:, -2:], used[0, 10:20] = True, False, False
    used[:, 25] = False
    got = fit_probes(features, labels, used, c=c)
    want = scikit_learn(features, labels, used, c)
    torch.testing.assert_close(got.decide(features), want, rtol=1e-5, atol=2e-5)
    tried = held_back(features, labels, used, c=c)
    signs = 2 * labels.unsqueeze(1) - 1
    right = ((want > 0) == (signs > 0)) & ~used.unsqueeze(1)
    torch.testing.assert_close(tried.accuracy, right.sum(-1) / (~used).sum(-1, keepdim=True).double())
    losses = torch.nn.functional.softplus(-signs * want) * ~used.unsqueeze(1)
    torch.testing.assert_close(tried.log_loss, losses.sum(-1) / (~used).sum(-1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_chunks_and_company_do_not_matter(monkeypatch):
    features, labels = samples()
    whole = fit_probes(features, labels)
    monkeypatch.setattr(probes, "_FEATURES_AT_ONCE", 1)
    monkeypatch.setattr(probes, "_PEOPLE_AT_ONCE", 2)
    parts = fit_probes(features, labels)
    torch.testing.assert_close(parts.decide(features), whole.decide(features), rtol=1e-6, atol=2e-6)
    alone = fit_probes(features[:, 2:3], labels[1:2])
    torch.testing.assert_close(alone.weights[0, 0], whole.weights[1, 2], rtol=1e-5, atol=2e-6)


def test_hard_problems_are_finished_exactly(monkeypatch):
    features, labels = samples(width=30)
    used = torch.ones_like(labels, dtype=torch.bool)
    want = scikit_learn(features, labels, used)
    monkeypatch.setattr(logistic, "_FIRST_STEPS", 2)
    monkeypatch.setattr(logistic, "_POLISH_ROUNDS", 1)
    torch.testing.assert_close(fit_probes(features, labels).decide(features), want, rtol=1e-6, atol=1e-6)
    uneven = features * torch.logspace(-3, 3, 30)
    want = scikit_learn(uneven, labels, used)
    torch.testing.assert_close(fit_probes(uneven, labels).decide(uneven), want, rtol=1e-4, atol=1e-4)


def test_half_precision_features_and_constant_ones():
    features, labels = samples()
    features[:, 1] = 0.5
    features[:, 2, 3:] = 0
    rounded = features.half()
    used = torch.ones_like(labels, dtype=torch.bool)
    got = fit_probes(rounded, labels).decide(rounded)
    torch.testing.assert_close(got, scikit_learn(rounded, labels, used), rtol=1e-5, atol=1e-5)
    share = labels.double().mean(1)
    torch.testing.assert_close(got[:, 1, 0], torch.log(share / (1 - share)), rtol=1e-5, atol=1e-5)


def test_ranking():
    accuracy = torch.tensor([[0.5, 0.75, 0.75, 0.5]])
    assert best_heads(accuracy, 3).tolist() == [[1, 2, 0]]
    assert best_heads(accuracy, 3, torch.tensor([[0.7, 0.6, 0.5, 0.1]])).tolist() == [[2, 1, 3]]


def test_unfit_samples_are_refused():
    features, labels = samples()
    labels[1] = 1
    with pytest.raises(InputError, match="person 1"):
        fit_probes(features, labels)
    features, labels = samples()
    used = torch.ones_like(labels, dtype=torch.bool)
    with pytest.raises(InputError, match="held back"):
        held_back(features, labels, used)
    used[:, 30:] = False
    with pytest.raises(InputError, match="held back"):
        held_back(features, labels, used, torch.ones_like(used))
    features[3, 4, 0] = math.nan
    with pytest.raises(InputError, match="not finite"):
        fit_probes(features, labels)
    with pytest.raises(ValueError, match="features"):
        fit_probes(features[:-1], labels)
    with pytest.raises(ValueError, match="labels 0 and 1"):
        fit_probes(features, labels * 2 - 1)


def test_directions_of_people_with_different_samples():
    features, labels = samples(offset=10.0)
    used = torch.rand(labels.shape, generator=torch.Generator().manual_seed(5)) < 0.7
    used[:, :2] = True
    difference = mean_difference(features, labels, used)
    units = unit_directions(difference)
    spread = projection_std(features, units, used)
    for person in range(3):
        chosen = used[person]
        rows, kinds = features[chosen], labels[person][chosen]
        want = rows[kinds == 1].mean(0) - rows[kinds == 0].mean(0)
        torch.testing.assert_close(difference[person], want, rtol=1e-4, atol=1e-5)
        along = (rows * units[person]).sum(-1)
        torch.testing.assert_close(spread[person], along.std(0, correction=0), rtol=1e-4, atol=1e-5)
    features[:, 1] = features[:1, 1]
    same = mean_difference(features, labels, used)
    assert not same[:, 1].any() and not projection_std(features, unit_directions(same), used)[:, 1].any()
