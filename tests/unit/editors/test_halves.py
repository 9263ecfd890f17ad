"""The split forward equals the whole one, on every architecture, and leaves no trace."""

import pytest
import torch

from editors.halves import ModelHalves, passing_through
from files.errors import InputError
from interventions.applied import Intervention, Site, applied
from lm.sites import sites_of
from tests.models import ARCHITECTURES, POSITIONS, random_model
from tests.unit.editors.batches import random_tokens


def halves_of(model, first):
    sites = sites_of(model)
    return ModelHalves(model, [sites.block(k) for k in range(sites.num_layers)], first)


def whole(model, tokens):
    return model(
        input_ids=tokens.input_ids,
        attention_mask=tokens.attention_mask,
        position_ids=tokens.position_ids(),
        use_cache=False,
    ).logits


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_equals_the_whole_forward(arch, first):
    model = random_model(arch, layers=3).requires_grad_(False)
    tokens = random_tokens(4, 3, 9, torch.Generator().manual_seed(1))
    halves = halves_of(model, first)
    with torch.no_grad():
        want = whole(model, tokens)
        states = halves.lower(tokens)
        got = halves.upper(tokens, states)
        keep = tokens.answer_mask
        few = halves.upper(tokens, states, keep)
    real = tokens.attention_mask.bool()
    assert torch.equal(got[real], want[real])
    torch.testing.assert_close(few, want[keep])
    assert torch.equal(whole(model, tokens)[real], want[real])


class Doubled(Intervention):
    sites = [Site("model.layers.2.mlp", "output")]

    def edit(self, site, entering, leaving):
        return 2 * leaving


def test_gradients_and_interventions_act_as_on_the_whole_model():
    model = random_model("llama", layers=3)
    tokens = random_tokens(3, 4, 8, torch.Generator().manual_seed(2))
    halves, weight = halves_of(model, 1), model.model.layers[2].mlp.up_proj.weight
    real = tokens.attention_mask.bool()
    with applied(model, Doubled()):
        (want,) = torch.autograd.grad(whole(model, tokens)[real].square().sum(), weight)
        got_logits = halves.upper(tokens, halves.lower(tokens))
    (got,) = torch.autograd.grad(got_logits[real].square().sum(), weight)
    torch.testing.assert_close(got, want)


def test_nothing_stays_after_an_error():
    model = random_model("llama", layers=3)
    tokens = random_tokens(2, 4, 8, torch.Generator().manual_seed(3))
    halves = halves_of(model, 2)
    states = halves.lower(tokens)
    before = whole(model, tokens)
    with pytest.raises(Exception):  # noqa: B017 - whatever the model says about a wrong width
        halves.upper(tokens, states[..., :-1])
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in model.modules())
    assert all("forward" not in module.__dict__ for module in model.modules())
    assert torch.equal(whole(model, tokens), before)


def test_a_forward_set_on_the_instance_comes_back():
    block = torch.nn.Linear(2, 2)
    own = block.forward = lambda x: x + 1
    with passing_through(block):
        assert torch.equal(block(torch.ones(1)), torch.ones(1))
    assert block.__dict__["forward"] is own


def test_a_block_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        halves_of(random_model("llama"), 2)


def test_a_text_longer_than_the_model_can_read_is_refused():
    halves, longest = halves_of(random_model("gpt2"), 1), POSITIONS
    generator = torch.Generator().manual_seed(4)
    assert halves.lower(random_tokens(1, longest, longest, generator)).shape[1] == longest
    with pytest.raises(InputError, match=f"at most {longest}"):
        halves.lower(random_tokens(1, longest + 1, longest + 1, generator))
