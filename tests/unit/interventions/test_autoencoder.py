"""Sparse autoencoders compute what their definitions say, and their thresholds get the published gradients."""

import pytest
import torch

from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.jump_relu import fires, jump_relu
from interventions.places import places_of
from interventions.replaced import ReplaceOutput, output_of
from tests.models import random_model
from tests.unit.interventions.steered import batch, logits, numbers, texts

WIDTH, FEATURES = 6, 15


def network(architecture="topk", **options):
    k = 4 if architecture == "topk" else None
    made = SparseAutoencoder(AutoencoderForm(architecture, WIDTH, FEATURES, k=k, **options))
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            parameter.copy_(numbers(*parameter.shape, seed=number, scale=0.7))
        if made.threshold is not None:
            made.threshold.abs_()
    return made


INPUTS = numbers(9, WIDTH, seed=20)


@pytest.mark.parametrize("by_norm", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_topk_keeps_the_k_largest(centred, by_norm):
    made = network(centred=centred, by_decoder_norm=by_norm)
    norms = made.decoder.norm(dim=-1) if by_norm else torch.ones(FEATURES)
    start = INPUTS - made.decoder_bias if centred else INPUTS
    values = (start @ made.encoder + made.encoder_bias) * norms
    cut = values.sort(dim=-1, descending=True).values[:, 3:4]
    kept = torch.where((values >= cut) & (values > 0), values, 0.0)
    torch.testing.assert_close(made.encode(INPUTS), kept)
    torch.testing.assert_close(made(INPUTS), (kept / norms) @ made.decoder + made.decoder_bias)


def test_jump_relu_keeps_what_is_above_its_threshold():
    made = network("jumprelu")
    values = INPUTS @ made.encoder + made.encoder_bias
    kept = torch.where(values > made.threshold, values, 0.0)
    assert 0 < (kept > 0).sum() < kept.numel()
    torch.testing.assert_close(made(INPUTS), kept @ made.decoder + made.decoder_bias)


@pytest.mark.parametrize("kind", ["constant_norm_rescale", "layer_norm"])
def test_normalisation_is_undone_after(kind):
    made = network("standard", normalization=kind)
    plain = SparseAutoencoder(AutoencoderForm("standard", WIDTH, FEATURES))
    plain.load_state_dict(made.state_dict())
    if kind == "layer_norm":
        mean, spread = INPUTS.mean(-1, keepdim=True), INPUTS.std(-1, keepdim=True)
        expected = plain((INPUTS - mean) / (spread + 1e-5)) * spread + mean
    else:
        factor = WIDTH**0.5 / INPUTS.norm(dim=-1, keepdim=True)
        expected = plain(INPUTS * factor) / factor
    torch.testing.assert_close(made(INPUTS), expected)


@pytest.mark.parametrize("architecture", ["topk", "jumprelu", "standard"])
def test_rescaled_is_the_same_network_for_raw_inputs(architecture):
    made = network(architecture, centred=True)
    raw = made.rescaled(3.0)
    torch.testing.assert_close(raw(INPUTS), made(INPUTS * 3.0) / 3.0)
    assert torch.equal(raw.decoder, made.decoder)


def test_thresholds_get_the_gradients_of_the_paper():
    values = torch.tensor([[0.95, 3.0], [1.04, 0.5], [1.2, 2.02]], requires_grad=True)
    threshold = torch.tensor([1.0, 2.0], requires_grad=True)
    upstream = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    (jump_relu(values, threshold, 0.2) * upstream).sum().backward()
    # within half a bandwidth: 0.95 and 1.04 of the first, 2.02 of the second
    torch.testing.assert_close(threshold.grad, torch.tensor([-1.0 / 0.2 * (1.0 + 3.0), -2.0 / 0.2 * 6.0]))
    torch.testing.assert_close(values.grad, torch.tensor([[0.0, 2.0], [3.0, 0.0], [5.0, 6.0]]))
    threshold.grad = None
    (fires(values, threshold, 0.2) * upstream).sum().backward()
    torch.testing.assert_close(threshold.grad, torch.tensor([-(1.0 + 3.0) / 0.2, -6.0 / 0.2]))


def test_k_must_fit():
    with pytest.raises(ValueError, match="expected k from 1 to 15"):
        AutoencoderForm("topk", WIDTH, FEATURES, k=16)


def test_reading_ends_at_the_module_and_leaves_the_model_as_it_was():
    model = random_model(layers=3)
    given = batch(texts(), "left")
    site = places_of(model).block(1)
    seen = []
    handle = model.model.layers[2].register_forward_pre_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        found = output_of(model, site, **given, use_cache=False)
        assert not seen
        assert not model.model.layers[1]._forward_hooks
        handle.remove()
        before = logits(model, given)
        expected = model(**given, output_hidden_states=True).hidden_states[2]
    real = given["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real])
    assert torch.equal(logits(model, given), before)


def test_replacing_an_output_by_itself_changes_nothing_and_by_zeros_something():
    model = random_model()
    given, site = batch(texts(), "left"), places_of(model).block(1)
    plain = logits(model, given)
    assert torch.equal(logits(model, given, ReplaceOutput(site, lambda hidden: hidden)), plain)
    assert not torch.allclose(logits(model, given, ReplaceOutput(site, torch.zeros_like)), plain)
