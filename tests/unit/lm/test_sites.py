"""The table of sites, checked on a random model of every architecture by what the modules do."""

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTForCausalLM

from files.errors import InputError
from lm.adapters import LoRASpec
from lm.loading import LMSpec, load_model
from lm.sites import Sites, is_conv1d, linear_widths, sites_of
from tests.models import ARCHITECTURES, Architecture, random_model, tiny_config

IDS = torch.tensor([[3, 40, 41, 42, 43, 44, 45, 46]])
OPT_SITES = {
    "attention": "self_attn",
    "attention_out": "self_attn.out_proj",
    "mlp_down": "fc2",
    "gate_activation": "activation_fn",
    "weights": {"fc": "fc1", "proj": "fc2"},
}


def _input_of(stack: ExitStack, module: nn.Module, seen: dict[str, Tensor], name: str) -> None:
    def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen[name] = args[0]

    stack.callback(module.register_forward_pre_hook(hook).remove)


def _output_of(stack: ExitStack, module: nn.Module, seen: dict[str, Tensor], name: str) -> None:
    def hook(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = output[0] if isinstance(output, tuple) else output

    stack.callback(module.register_forward_hook(hook).remove)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sizes(arch: Architecture) -> None:
    model = random_model(arch, layers=3)
    config = tiny_config(arch)
    sites = sites_of(model)
    assert (sites.num_layers, sites.hidden_size, sites.num_heads) == (3, config.hidden_size, config.num_attention_heads)
    assert sites.head_dim == (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    assert sites.mlp_width == (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    assert sites.conv1d == (arch == "gpt2")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_zeroing_a_head_is_zeroing_its_columns(arch: Architecture) -> None:
    model = random_model(arch)
    sites = sites_of(model)
    head = slice(1 * sites.head_dim, 2 * sites.head_dim)

    def zero_head(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        heads = args[0].clone()
        heads[..., head] = 0
        return (heads, *args[1:])

    handle = sites.attention_out(1).register_forward_pre_hook(zero_head)
    hooked = model(IDS).logits
    handle.remove()
    weight = sites.attention_out(1).get_parameter("weight")
    with torch.no_grad():
        columns = weight[head] if sites.conv1d else weight[:, head]
        columns.zero_()
    torch.testing.assert_close(model(IDS).logits, hooked)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_activated_gate_times_up_is_the_input_of_down(arch: Architecture) -> None:
    model = random_model(arch)
    sites = sites_of(model)
    weights = sites.editable_weights(0)
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack:
        _output_of(stack, sites.gate_activation(0), seen, "activated")
        _input_of(stack, sites.mlp_down(0), seen, "neurons")
        for role, (_, module) in weights.items():
            _output_of(stack, module, seen, role)
        model(IDS)
    assert seen["neurons"].shape == (1, IDS.shape[1], sites.mlp_width)
    up = {
        "up": lambda: seen["up"],
        "gate_up": lambda: seen["gate_up"][..., sites.mlp_width :],
        "fc": lambda: torch.ones(1),
    }
    factor = next(value() for role, value in up.items() if role in weights)
    torch.testing.assert_close(seen["activated"] * factor, seen["neurons"])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_layer_k_is_the_output_of_block_k(arch: Architecture) -> None:
    model = random_model(arch)
    sites = sites_of(model)
    seen: dict[str, Tensor] = {}
    with ExitStack() as stack:
        _output_of(stack, sites.block(0), seen, "0")
        hidden_states = model(IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(seen["0"], hidden_states[1])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_editable_weights_are_found_again_by_their_path(arch: Architecture) -> None:
    model = random_model(arch)
    sites = sites_of(model)
    weights = sites.editable_weights(1)
    assert set(weights) in ({"gate", "up", "down"}, {"gate_up", "down"}, {"fc", "proj"})
    for path, module in [*weights.values(), sites.attention_weight(1)]:
        assert model.get_submodule(path) is module is sites.module(path) is sites.module(f"{path}.weight")
        widths = tuple(module.weight.shape)
        assert linear_widths(module) == (widths if is_conv1d(module) else widths[::-1])


def test_sites_of_an_adapted_model(tiny_lm_dir) -> None:
    model = load_model(LMSpec(str(tiny_lm_dir), lora=LoRASpec()))
    adapted, plain = sites_of(model), sites_of(load_model(LMSpec(str(tiny_lm_dir))))
    for name in ("num_layers", "hidden_size", "num_heads", "head_dim", "mlp_width", "conv1d"):
        assert getattr(adapted, name) == getattr(plain, name)
    path, module = adapted.editable_weights(0)["down"]
    assert model.get_submodule(path) is module


@pytest.mark.parametrize("layer", [-1, 2, True, "0"])
def test_layers_are_counted_from_zero(layer: int) -> None:
    with pytest.raises(InputError, match="no such layer") as error:
        sites_of(random_model()).block(layer)
    assert error.value.expected == "0 to 1, counted from the first"


def test_unknown_weight_names_its_neighbours() -> None:
    with pytest.raises(InputError, match="no module of this name") as error:
        sites_of(random_model()).module("model.layers.1.mlp.gate_prj.weight")
    assert "model.layers.1.mlp.gate_proj" in str(error.value.fix)


def _opt() -> OPTForCausalLM:
    config = OPTConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, ffn_dim=24, num_attention_heads=2, word_embed_proj_dim=16
    )
    return OPTForCausalLM(config).eval()


def test_unknown_architecture_shows_the_keys_to_set() -> None:
    with pytest.raises(InputError, match="architecture 'opt' are not known") as error:
        sites_of(_opt())
    message = str(error.value)
    for key in (
        "lm:",
        "sites:",
        "layers:",
        "attention:",
        "attention_out:",
        "mlp_down:",
        "gate_activation:",
        "weights:",
    ):
        assert key in message
    assert "self_attn.out_proj" in message and "fc2" in message


def test_unknown_architecture_with_its_modules_named() -> None:
    for overrides in (OPT_SITES, OPT_SITES | {"layers": "model.decoder.layers"}):
        sites = sites_of(_opt(), overrides)
        assert (sites.num_layers, sites.num_heads, sites.head_dim, sites.mlp_width) == (2, 2, 8, 24)
        assert sites.editable_weights(1)["fc"][0] == "model.decoder.layers.1.fc1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"atention": "x"}, "lm.sites.atention"),
        ({"layers": "model.decoder"}, "not a list of decoder blocks"),
        ({"mlp_down": "fc3"}, "no module of this name"),
        ({"mlp_down": "final_layer_norm"}, "not a linear layer"),
        ({"attention": "fc1"}, "width of its heads"),
    ],
)
def test_wrong_overrides(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sites_of(_opt(), OPT_SITES | overrides)


def test_known_architecture_takes_single_overrides() -> None:
    model = random_model("llama")
    sites: Sites = sites_of(model, {"gate_activation": "mlp.up_proj"})
    assert sites.gate_activation(0) is model.model.layers[0].mlp.up_proj
