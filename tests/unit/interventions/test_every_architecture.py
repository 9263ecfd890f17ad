"""What holds for every kind of intervention on every architecture (random tiny models)."""

import copy

import pytest
import torch

from interventions.applied import applied
from interventions.places import places_of
from lm.sites import is_conv1d
from tests.models import ARCHITECTURES, random_model
from tests.unit.interventions.steered import KINDS, PEOPLE, batch, logits, shift_heads, texts


def hooks(model):
    return [hook for module in model.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_rows_strength_padding(arch, kind):
    model = random_model(arch)
    intervention = KINDS[kind](places_of(model))
    rows = texts()
    left, right = batch(rows, "left"), batch(rows, "right")
    base = logits(model, left)
    assert torch.equal(logits(model, left, 0.0 * intervention), base)
    together = logits(model, left, intervention)
    assert (together - base).abs().max() > 1e-3
    torch.testing.assert_close(logits(model, right, intervention), together, rtol=1e-5, atol=1e-5)
    alone = [logits(model, batch([row], "left"), intervention.rows([person])) for person, row in enumerate(rows)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    assert torch.equal(logits(model, left), base)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nothing_is_left_behind_even_by_an_exception(arch):
    model = random_model(arch)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = places_of(model)
    given = batch(texts(), "left")
    for kind in KINDS.values():
        with pytest.raises(RuntimeError, match="in the middle"), applied(model, kind(found)):
            handle = model.get_decoder().register_forward_hook(lambda *_: None)
            model(**given)
            handle.remove()
            raise RuntimeError("in the middle")
    assert not hooks(model)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_shift_of_heads_is_a_bias_of_the_output_projection(arch):
    model = random_model(arch)
    found = places_of(model)
    shift = shift_heads(found, people=1)
    plain = copy.deepcopy(model)
    for layer in found.layers:
        module = places_of(plain).sites.attention_out(layer)
        weight = module.weight.T if is_conv1d(module) else module.weight
        bias = weight.detach() @ shift.tables[layer][0, 0]
        module.bias = torch.nn.Parameter(bias if module.bias is None else module.bias.detach() + bias)
    given = batch(texts(), "right")
    torch.testing.assert_close(logits(model, given, shift), logits(plain, given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["combined", "limited"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_generation_with_and_without_a_cache(arch, kind):
    model = random_model(arch)
    intervention = KINDS[kind](places_of(model))
    rows = texts()
    steps = 4
    model.generation_config.eos_token_id = None

    def generated(some, acting, use_cache):
        given = batch(some, "left")
        with applied(model, acting):
            output = model.generate(
                given["input_ids"],
                attention_mask=given["attention_mask"],
                max_new_tokens=steps,
                do_sample=False,
                use_cache=use_cache,
                return_dict_in_generate=True,
                output_logits=True,
            )
        return output.sequences[:, -steps:], torch.stack(output.logits, 1)

    tokens, values = generated(rows, intervention, True)
    tokens_again, values_again = generated(rows, intervention, False)
    assert torch.equal(tokens, tokens_again)
    torch.testing.assert_close(values, values_again, rtol=1e-4, atol=1e-4)
    for person in range(PEOPLE):
        own, own_values = generated([rows[person]], intervention.rows([person]), True)
        assert torch.equal(own[0], tokens[person])
        torch.testing.assert_close(own_values[0], values[person], rtol=1e-4, atol=1e-4)
