"""Which weights the roles name."""

import pytest

from editors.selection import select_weights
from files.errors import InputError
from lm.sites import sites_of


def test_roles_are_taken_in_each_layer_and_the_attentions_only_when_asked_for(tiny_lm) -> None:
    sites = sites_of(tiny_lm[0])
    assert not any("attn" in path for path in select_weights(sites, layers=[0, 1]).modules)
    chosen = select_weights(sites, layers=[1], weights=["attention_out", "down"])
    assert list(chosen.modules) == ["model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj"]
    assert chosen.first == 1


def test_an_unknown_role_is_answered_with_all_roles(tiny_lm) -> None:
    with pytest.raises(InputError, match="gate, up, down, attention_out"):
        select_weights(sites_of(tiny_lm[0]), layers=[0], weights=["attention"])
