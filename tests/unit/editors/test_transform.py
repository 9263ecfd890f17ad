"""The transform's layer by hand, and what is refused."""

import pytest
import torch

from editors.transform import FactorRows, GradientTransform, LowRankResidual


def plainly(layer, x, mode):
    """The layer as its formula stands, differentiated automatically."""
    hidden = x @ layer.v.T @ layer.u.T + layer.bias
    if mode is not None:
        hidden = hidden * layer.mode_scale[mode] + layer.mode_shift[mode]
    return x + hidden.clamp(min=0)


@pytest.mark.parametrize("n_modes", [None, 1, 3])
@pytest.mark.parametrize("at_the_start", [True, False])
def test_value_and_gradients(n_modes, at_the_start):
    torch.manual_seed(0)
    layer = LowRankResidual(7, n_modes, rank=4).double()
    if not at_the_start:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
    x = torch.randn(5, 7, dtype=torch.double, requires_grad=True)
    modes = None if n_modes is None else torch.randint(n_modes, (5,))
    which = None if modes is None else torch.nn.functional.one_hot(modes, n_modes).double()
    weights = torch.randn(5, 7, dtype=torch.double)
    inputs = [x, *layer.parameters()]
    want, got = plainly(layer, x, modes), layer(x, which)
    torch.testing.assert_close(got, want)
    for a, b in zip(
        torch.autograd.grad((got * weights).sum(), inputs),
        torch.autograd.grad((want * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_it_starts_as_the_identity_and_can_leave_it():
    transform = GradientTransform(4, 3, 2, rank=5).train()
    u, v = torch.randn(6, 4), torch.randn(6, 3)
    ((out_u, out_v),) = transform([FactorRows(u, v, 0)])
    torch.testing.assert_close(out_u, (u - u.mean(0)) / (u.std(0) + 1e-7), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out_v, (v - v.mean(0)) / (v.std(0) + 1e-7), rtol=1e-4, atol=1e-5)
    (out_u.sum() + out_v.square().sum()).backward()
    assert all(layer.u.grad.abs().sum() > 0 for layer in transform.networks["joined"].layers)


def test_factors_far_outside_the_statistics_are_bounded():
    bounded, free = (GradientTransform(4, 3, 1, clip=clip).train() for clip in (2.0, None))
    u, v = torch.randn(50, 4), torch.randn(50, 3)
    for transform in (bounded, free):
        transform([FactorRows(u, v, 0)])
        transform.eval()
    (wild,) = bounded([FactorRows(1e6 * u, v, 0)])
    assert wild[0].abs().max() == 2.0
    (wild,) = free([FactorRows(1e6 * u, v, 0)])
    assert wild[0].abs().max() > 1e5


def test_a_bound_does_not_change_what_lies_inside():
    bounded, free = (GradientTransform(4, 3, 1, clip=clip).train() for clip in (100.0, None))
    free.load_state_dict(bounded.state_dict())
    rows = FactorRows(torch.randn(9, 4), torch.randn(9, 3), 0)
    assert all(torch.equal(a, b) for a, b in zip(bounded([rows])[0], free([rows])[0], strict=True))


@pytest.mark.parametrize("wide", ["u", "v"])
def test_one_sided_takes_the_narrower_factor(wide):
    widths = (9, 4) if wide == "u" else (4, 9)
    transform = GradientTransform(*widths, combine=False, one_sided=True)
    assert list(transform.networks) == ["v" if wide == "u" else "u"]


def test_more_hidden_layers():
    assert len(GradientTransform(4, 3, n_hidden=3).networks["joined"].layers) == 4


def test_options_that_exclude_each_other():
    with pytest.raises(ValueError, match="at most one"):
        GradientTransform(4, 3, combine=True, x_only=True)


def test_modes_that_are_not_there():
    transform = GradientTransform(4, 3, 2).train()
    rows = torch.randn(3, 4), torch.randn(3, 3)
    with pytest.raises(ValueError, match="a mode below 2"):
        transform([FactorRows(*rows, 2)])
    with pytest.raises(ValueError, match="for all weights or for none"):
        transform([FactorRows(*rows, 1), FactorRows(*rows, None)])
