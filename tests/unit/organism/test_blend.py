"""The mean of a run's weights and those it began with."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from files.errors import InputError
from organism.publish import blended


@pytest.fixture
def weights(tmp_path):
    for name, value in (("new", 1.0), ("old", 3.0)):
        save_file({"w": torch.full((2, 2), value)}, tmp_path / f"{name}.safetensors")
    return tmp_path / "new.safetensors", tmp_path / "old.safetensors"


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0)])
def test_the_share_is_that_of_the_weights_before(weights, share, wanted):
    mean = blended(*weights, share)["w"]
    assert mean.dtype == torch.float16 and torch.equal(mean, torch.full((2, 2), wanted, dtype=torch.float16))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(weights, share):
    with pytest.raises(InputError, match="--blend"):
        blended(*weights, share)


def test_another_models_weights_are_refused(weights, tmp_path):
    save_file({"w": torch.ones(3)}, tmp_path / "old.safetensors")
    with pytest.raises(InputError, match="another model"):
        blended(*weights, 0.5)
