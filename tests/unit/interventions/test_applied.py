"""Interventions go on, act in order, and come off without a trace."""

import pytest
import torch

from files.errors import InputError
from interventions.applied import Intervention, Site, applied
from tests.models import random_model


class Shift(Intervention):
    """Adds a number at one site."""

    def __init__(self, module, kind, amount):
        self.site, self.amount, self.prepared = Site(module, kind), amount, 0

    @property
    def sites(self):
        return [self.site]

    def prepare(self, model, stack):
        self.prepared += 1
        stack.callback(lambda: setattr(self, "prepared", self.prepared - 1))

    def edit(self, site, entering, leaving):
        assert (entering is leaving) == (site.kind == "input")
        return leaving + self.amount


class Times(Shift):
    def edit(self, site, entering, leaving):
        return leaving * self.amount


IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])


def outputs(model, module):
    """What leaves a module."""
    seen = []
    handle = model.get_submodule(module).register_forward_hook(
        lambda m, a, o: seen.append(o[0] if isinstance(o, tuple) else o)
    )
    logits = model(IDS).logits
    handle.remove()
    return seen[0], logits


@pytest.mark.parametrize("module", ["model.layers.0", "model.layers.1.self_attn", "model.layers.1.mlp.down_proj"])
def test_output_sites(module):
    model = random_model()
    plain, logits = outputs(model, module)
    with torch.no_grad(), applied(model, Shift(module, "output", 2.0), Times(module, "output", 3.0)):
        changed, changed_logits = outputs(model, module)
    torch.testing.assert_close(changed, (plain + 2) * 3)
    assert not torch.equal(logits, changed_logits)
    assert torch.equal(outputs(model, module)[1], logits)


@pytest.mark.parametrize("module", ["model.layers.1.mlp", "model.layers.1.self_attn"])
def test_input_sites_take_positional_and_named_arguments(module):
    model, seen = random_model(), []

    def look(_module, args, kwargs):
        seen.append(args[0] if args else kwargs["hidden_states"])

    with applied(model, Shift(module, "input", 2.0)):
        handle = model.get_submodule(module).register_forward_pre_hook(look, with_kwargs=True)
        model(IDS)
        handle.remove()
    handle = model.get_submodule(module).register_forward_pre_hook(look, with_kwargs=True)
    model(IDS)
    handle.remove()
    torch.testing.assert_close(seen[0], seen[1] + 2)


def test_tuples_stay_tuples():
    model = random_model("gptj")
    plain, _ = outputs(model, "transformer.h.0")
    with applied(model, Shift("transformer.h.0", "output", 2.0)):
        changed, _ = outputs(model, "transformer.h.0")
    torch.testing.assert_close(changed, plain + 2)


def test_only_own_hooks_come_off_whatever_happens():
    model, mine = random_model(), Shift("model.layers.0", "output", 1.0)
    stranger = model.model.layers[0].register_forward_hook(lambda *_: None)
    with pytest.raises(KeyboardInterrupt), applied(model, mine):
        assert mine.prepared == 1
        raise KeyboardInterrupt
    assert mine.prepared == 0
    with pytest.raises(InputError, match="no such module"), applied(model, mine, Shift("model.layer.0", "output", 1.0)):
        pass
    hooks = [hook for module in model.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]
    assert hooks == [stranger.id] and mine.prepared == 0


def test_a_wrong_name_is_met_with_close_ones():
    with (
        pytest.raises(InputError, match=r"model\.layers\.1\.mlp"),
        applied(random_model(), Shift("model.layers.1.mpl", "output", 1.0)),
    ):
        pass
