"""Directions of contrasts: a planted one is found in every layer by every estimate; random ones keep the length."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression

from files.errors import InputError
from interventions.contrast_directions import contrast_directions
from interventions.limited import Limited
from interventions.places import places_of
from interventions.random_directions import random_directions
from interventions.residual import AddDirection
from tests.models import random_model
from tests.unit.interventions.steered import numbers, scale_neurons

PAIRS, LAYERS, WIDTH = 40, 3, 10
PLANTED = torch.nn.functional.normalize(numbers(LAYERS, WIDTH, seed=1), dim=-1)
SIZES = torch.tensor([6.0, 4.0, 8.0])


def planted_pairs():
    shared = numbers(PAIRS, LAYERS, WIDTH, seed=2)
    step = SIZES[:, None] * PLANTED
    return shared + step / 2, shared - step / 2 + numbers(PAIRS, LAYERS, WIDTH, seed=3, scale=0.2)


@pytest.mark.parametrize("estimate", ["pca", "mean_difference", "probe"])
def test_a_planted_direction_is_found_in_every_layer(estimate):
    positive, negative = planted_pairs()
    found = contrast_directions(positive, negative, estimate)
    assert ((found.units * PLANTED).sum(-1) > 0.9).all()
    torch.testing.assert_close(found.gaps, SIZES, rtol=0.1, atol=0.0)
    assert (found.accuracy == 1).all()
    turned = contrast_directions(negative, positive, estimate)
    torch.testing.assert_close(turned.units, -found.units, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.steps(), found.units * found.gaps[:, None])


def test_each_estimate_is_that_of_an_independent_library():
    positive, negative = (side + 0.3 * numbers(PAIRS, LAYERS, WIDTH, seed=4) for side in planted_pairs())
    rows, labels = torch.cat([positive, negative]).numpy(), np.repeat([1, 0], PAIRS)
    for layer in range(LAYERS):
        axis = TruncatedSVD(1, algorithm="arpack").fit((positive - negative)[:, layer].numpy()).components_[0]
        probe = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(rows[:, layer], labels).coef_[0]
        mean = (positive.mean(0) - negative.mean(0))[layer].numpy()
        for estimate, expected in (("pca", axis), ("probe", probe), ("mean_difference", mean)):
            unit = contrast_directions(positive, negative, estimate).units[layer]
            other = torch.from_numpy(expected / np.linalg.norm(expected)).float()
            assert abs(float(unit @ other)) > 1 - 1e-4


def test_texts_that_do_not_differ_give_no_direction():
    same = numbers(4, LAYERS, WIDTH)
    found = contrast_directions(same, same)
    assert not found.units.any() and not found.gaps.any()


def test_faulty_sides_are_refused():
    positive, negative = planted_pairs()
    with pytest.raises(InputError, match="differ in length"):
        contrast_directions(positive, negative[:-1])
    with pytest.raises(InputError, match="empty"):
        contrast_directions(positive, negative[:0])
    with pytest.raises(InputError, match="not finite"):
        contrast_directions(positive, torch.where(negative == negative[0, 0, 0], torch.nan, negative))
    with pytest.raises(ValueError, match="expected states"):
        contrast_directions(positive, negative[:, :1])


def test_random_directions_keep_lengths_and_places():
    places = places_of(random_model())
    edit = AddDirection(places, {0: numbers(3, 32, seed=1), 1: numbers(3, 32, seed=2)}, torch.tensor([1.0, 2.0, 0.5]))
    drawn = random_directions(edit, ["a", "a", "b"], [1, -1, 1], seed=0)
    assert list(drawn.layers) == [0, 1] and torch.equal(drawn.strength, edit.strength)
    for layer, table in drawn.tables.items():
        torch.testing.assert_close(table.norm(dim=-1), edit.tables[layer].norm(dim=-1))
        rows = torch.nn.functional.normalize(table[:, 0], dim=-1)
        torch.testing.assert_close(rows[0], -rows[1])
        assert abs(float(rows[0] @ rows[2])) < 0.7
        own = torch.nn.functional.normalize(edit.tables[layer][:, 0], dim=-1)
        assert ((rows * own).sum(-1).abs() < 0.7).all()
    limited = random_directions(Limited(edit, phase="prompt") + edit, ["a", "a", "b"], [1, -1, 1], seed=0)
    assert limited.parts[0].phase == "prompt"
    assert torch.equal(limited.parts[0].intervention.tables[1], drawn.tables[1])
    other = random_directions(edit, ["a", "a", "b"], [1, -1, 1], seed=1)
    assert not torch.allclose(other.tables[0], drawn.tables[0])
    with pytest.raises(TypeError, match="vectors that are added"):
        random_directions(scale_neurons(places), ["a"] * 3, [1] * 3, 0)
    with pytest.raises(ValueError, match="a key for each of 3"):
        random_directions(edit, ["a"], [1], 0)
