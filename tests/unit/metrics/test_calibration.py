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


def test_a_classifier_without_mistakes_is_not_taken_for_one_that_never_makes_any():
    # each of three classes counts once more: the right one of three rows has (3 + 1) / (3 + 3) of the weight
    temperature = fit_temperature(torch.eye(3), torch.arange(3))
    assert (torch.eye(3) / temperature).softmax(-1)[0, 0].item() == pytest.approx(2 / 3, rel=1e-4)


def test_a_classifier_that_is_never_right_is_told_to_say_nothing():
    logits = torch.eye(3).repeat(50, 1)
    labels = ((torch.arange(3) + 1) % 3).repeat(50)
    assert fit_temperature(logits, labels) == pytest.approx(1e2, rel=0.02)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(2, 3\), \(3,\)"):
        fit_temperature(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
