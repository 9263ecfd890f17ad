"""The temperature is the likeliest one, and probabilities are right after it."""

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from metrics.calibration import fit_temperature


def overconfident(rows: int = 4000, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn from softmax(logits), and the logits made larger."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    return scale * logits, labels


def test_it_finds_what_the_logits_were_multiplied_by():
    logits, labels = overconfident()
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.1)
    around = [F.cross_entropy(logits / t, labels).item() for t in (0.97 * temperature, temperature, 1.03 * temperature)]
    assert min(around) == around[1]


def test_the_calibration_error_falls():
    logits, labels = overconfident()
    errors = [
        multiclass_calibration_error((logits / t).softmax(-1), labels, num_classes=5).item()
        for t in (1.0, fit_temperature(logits, labels))
    ]
    assert errors[1] < 0.03 < errors[0]


@pytest.mark.parametrize(("right", "bound"), [(True, 1e-2), (False, 1e2)])
def test_it_stays_within_bounds_where_there_is_no_maximum(right, bound):
    logits = torch.eye(3)
    labels = torch.arange(3) if right else (torch.arange(3) + 1) % 3
    assert fit_temperature(logits, labels) == pytest.approx(bound, rel=0.02)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(2, 3\), \(3,\)"):
        fit_temperature(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
