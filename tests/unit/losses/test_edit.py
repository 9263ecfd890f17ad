"""The lean losses equal the textbook ones, by value and by gradient, in every number format."""

import pytest
import torch

from losses import edit as losses
from losses.edit import drawdown_loss, inner_edit_loss, kl_per_position, label_log_probs, personality_loss

LOGITS = torch.randn(7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
OTHER = torch.randn(7, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4
LABELS = torch.arange(7)


@pytest.fixture(params=[1, 30, 10_000], autouse=True)
def block_entries(request, monkeypatch):
    """Nothing depends on how many logits are worked on at once."""
    monkeypatch.setattr(losses, "BLOCK_ENTRIES", request.param)


def test_gradients():
    logits, other = LOGITS.clone().requires_grad_(), OTHER.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: label_log_probs(x, LABELS), logits)
    assert torch.autograd.gradcheck(lambda x: kl_per_position(LOGITS, x), other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_values_in_every_format(dtype):
    logits, other = LOGITS.to(dtype), OTHER.to(dtype)
    exact, exact_other = logits.double().log_softmax(-1), other.double().log_softmax(-1)
    got = label_log_probs(logits, LABELS)
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(got.double(), exact.gather(1, LABELS[:, None]).squeeze(1), rtol=1e-5, atol=1e-5)
    want = (exact.exp() * (exact - exact_other)).sum(-1)
    torch.testing.assert_close(kl_per_position(logits, other).double(), want, rtol=1e-5, atol=1e-5)


def test_the_likeliest_label_keeps_its_digits():
    logits = torch.tensor([[80.0, 72.0, 70.0]])
    want = logits.double().log_softmax(-1)[:, 0]
    torch.testing.assert_close(label_log_probs(logits, torch.tensor([0])).double(), want, rtol=1e-4, atol=0)


def test_tokens_without_probability_add_nothing():
    before = torch.tensor([[0.0, -torch.inf]])
    after = torch.zeros(1, 2, requires_grad=True)
    value = kl_per_position(before, after)
    value.sum().backward()
    torch.testing.assert_close(value, torch.tensor([0.6931]), rtol=1e-3, atol=0)
    torch.testing.assert_close(after.grad, torch.tensor([[-0.5, 0.5]]))


def test_nothing_counted_is_nan_and_has_a_gradient_shape():
    logits, labels = torch.zeros(1, 3, 5, requires_grad=True), torch.full((1, 3), -100)
    result = inner_edit_loss(logits, labels)
    assert result.nll.isnan() and result.n_tokens == 0
    assert drawdown_loss(logits, logits, torch.zeros(1, 3)).isnan()


def test_shapes_are_checked():
    logits = torch.zeros(2, 3, 5)
    with pytest.raises(ValueError, match="labels"):
        inner_edit_loss(logits, torch.zeros(2, 4).long())
    with pytest.raises(ValueError, match="same_mask"):
        personality_loss(logits, torch.zeros(2, 3).long(), torch.ones(3))
    with pytest.raises(ValueError, match="mask"):
        drawdown_loss(logits, logits, torch.ones(2, 2))
