"""Every quickstart starts as it did when its losses were recorded (see `trajectory.py` for recording them anew)."""

import json

import pytest
import torch

from tests.recipes.trajectory import RECORDED, STEPS, losses_of, quickstarts

# Rounding differs between processors and adds up over the steps; a lost factor (accumulation, weighting, masking) moves
# all losses to one side, and shows in their mean.
POINT, MEAN = 2e-2, 4e-3
QUICKSTARTS = quickstarts()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", QUICKSTARTS)
def test_the_first_losses_are_the_recorded_ones(name, tmp_path):
    recorded = json.loads(RECORDED.read_text())
    assert name in recorded, f"record them: python -m tests.recipes.trajectory {name}"
    expected = torch.tensor(recorded[name])
    found = torch.tensor(losses_of(QUICKSTARTS[name], tmp_path))
    assert len(found) == len(expected) == STEPS
    torch.testing.assert_close(found, expected, rtol=POINT, atol=1e-4)
    drift = ((found - expected) / expected.abs().clamp(min=1e-2)).mean().abs()
    assert drift < MEAN, f"the losses moved to one side, by {float(drift):.4f} of their size"


def test_no_recording_is_left_of_a_recipe_that_is_gone():
    assert set(json.loads(RECORDED.read_text())) == set(QUICKSTARTS)
