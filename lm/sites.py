"""Where things live in a model of any architecture: block outputs, attention heads, MLP neurons, editable weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from files.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Names of the modules inside one decoder block; the keys of `lm.sites` in a YAML file.

    Attributes:
        attention: The attention module, which knows its `head_dim`.
        attention_out: Its output projection; the input of it holds the heads side by side.
        mlp_down: The last linear layer of the MLP; the input of it holds the neurons.
        gate_activation: The activation function; its output is the activated gate, or without a gate the neurons.
        weights: The MLP's linear layers by role: gate, up, down; or gate_up, down; or fc, proj.
        layers: The list of blocks, seen from the model; found by itself where it is left out.
    """

    attention: str
    attention_out: str
    mlp_down: str
    gate_activation: str
    weights: Mapping[str, str] = field(default_factory=dict)
    layers: str | None = None


_GATED = Layout(
    attention="self_attn",
    attention_out="self_attn.o_proj",
    mlp_down="mlp.down_proj",
    gate_activation="mlp.act_fn",
    weights={"gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"},
)
_LAYOUTS: dict[str, Layout] = {
    "llama": _GATED,
    "mistral": _GATED,
    "qwen2": _GATED,
    "qwen3": _GATED,
    "gemma2": _GATED,
    "phi3": replace(
        _GATED,
        gate_activation="mlp.activation_fn",
        weights={"gate_up": "mlp.gate_up_proj", "down": "mlp.down_proj"},
    ),
    "gpt2": Layout(
        attention="attn",
        attention_out="attn.c_proj",
        mlp_down="mlp.c_proj",
        gate_activation="mlp.act",
        weights={"fc": "mlp.c_fc", "proj": "mlp.c_proj"},
    ),
    "gptj": Layout(
        attention="attn",
        attention_out="attn.out_proj",
        mlp_down="mlp.fc_out",
        gate_activation="mlp.act",
        weights={"fc": "mlp.fc_in", "proj": "mlp.fc_out"},
    ),
}

_EXAMPLE = """
    lm:
      sites:
        layers: model.layers                # the list of decoder blocks, seen from the model
        attention: self_attn                # from here on seen from one block
        attention_out: self_attn.o_proj     # output projection of the attention
        mlp_down: mlp.down_proj             # last linear layer of the MLP
        gate_activation: mlp.act_fn         # the MLP's activation function
        weights: {gate: mlp.gate_proj, up: mlp.up_proj, down: mlp.down_proj}"""


class Sites:
    """The places of one model that methods read and edit. Layer k is decoder block k, counted from 0.

    Made by `sites_of`.

    Attributes:
        num_layers: Number of decoder blocks.
        hidden_size: Width D of a block's output.
        num_heads: Number of heads H at the input of the attention's output projection.
        head_dim: Width of one head there, as the attention module has it (not always D / H).
        mlp_width: Number of MLP neurons.
        conv1d: True where linear layers keep their weight as (in, out), as in GPT-2.
    """

    def __init__(self, model: nn.Module, layers_path: str, layout: Layout) -> None:
        self._model = model
        self._layers_path = layers_path
        self._layout = layout
        layers = self.module(layers_path)
        if not isinstance(layers, nn.ModuleList | nn.Sequential) or not len(layers):
            raise InputError(
                "not a list of decoder blocks", field="lm.sites.layers", got=layers_path, fix=f"name it as in{_EXAMPLE}"
            )
        self.num_layers = len(layers)
        heads_in, self.hidden_size = linear_widths(self.attention_out(0))
        self.mlp_width, _ = linear_widths(self.mlp_down(0))
        head_dim = getattr(self._in_block(0, "attention"), "head_dim", None)
        if not isinstance(head_dim, int) or head_dim < 1 or heads_in % head_dim:
            raise InputError(
                "the attention module does not tell the width of its heads",
                field="lm.sites.attention",
                expected=f"a module with a head_dim that divides {heads_in}",
                got=head_dim,
            )
        self.head_dim = head_dim
        self.num_heads = heads_in // head_dim
        self.conv1d = is_conv1d(self.mlp_down(0))

    def block(self, layer: int) -> nn.Module:
        """Decoder block `layer`; its output (a tensor, or a tuple that begins with it) is what layer means everywhere.

        Raises:
            InputError: There is no such layer.
        """
        return self.module(self._block_path(layer))

    def attention_out(self, layer: int) -> nn.Module:
        """Output projection of the attention; its input (B, T, H * head_dim) holds the heads side by side."""
        return self._in_block(layer, "attention_out")

    def mlp_down(self, layer: int) -> nn.Module:
        """Last linear layer of the MLP; its input (B, T, mlp_width) holds the neurons."""
        return self._in_block(layer, "mlp_down")

    def gate_activation(self, layer: int) -> nn.Module:
        """The module whose output (B, T, mlp_width) is the activated gate; without a gate, the neurons themselves."""
        return self._in_block(layer, "gate_activation")

    def editable_weights(self, layer: int) -> dict[str, tuple[str, nn.Module]]:
        """The MLP's linear layers by role (gate, up, down; gate_up, down; or fc, proj), each as its path and module."""
        block = self._block_path(layer)
        paths = {role: f"{block}.{name}" for role, name in self._layout.weights.items()}
        return {role: (path, self.module(path)) for role, path in paths.items()}

    def attention_weight(self, layer: int) -> tuple[str, nn.Module]:
        """The attention's output projection as its path and module: an editable weight beside the MLP's.

        Raises:
            InputError: There is no such layer.
        """
        path = f"{self._block_path(layer)}.{self._layout.attention_out}"
        return path, self.module(path)

    def module(self, path: str) -> nn.Module:
        """The module at a dotted path seen from the model; a trailing `.weight` is allowed.

        Raises:
            InputError: There is no such module; the message names similar ones.
        """
        try:
            return self._model.get_submodule(path.removesuffix(".weight"))
        except AttributeError as error:
            known = [name for name, _ in self._model.named_modules()]
            near = get_close_matches(path.removesuffix(".weight"), known, n=3, cutoff=0.5)
            raise InputError(
                "the model has no module of this name",
                field="module",
                got=path,
                fix=f"did you mean {' or '.join(near)}?" if near else f"name a module such as {known[-1]}",
            ) from error

    def _block_path(self, layer: int) -> str:
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < self.num_layers:
            raise InputError(
                "no such layer",
                field="layer",
                expected=f"0 to {self.num_layers - 1}, counted from the first",
                got=layer,
            )
        return f"{self._layers_path}.{layer}"

    def _in_block(self, layer: int, key: str) -> nn.Module:
        return self.module(f"{self._block_path(layer)}.{getattr(self._layout, key)}")


def sites_of(model: PreTrainedModel, overrides: Mapping[str, Any] | None = None) -> Sites:
    """The sites of a model, also of one with an adapter or quantised weights.

    Args:
        model: The model.
        overrides: Module names for want of an entry in the table, or in its place (`LMSpec.sites`); keys of `Layout`.

    Raises:
        InputError: The architecture is not in the table and the overrides do not name its modules, or a name is wrong.
    """
    overrides = dict(overrides or {})
    known = [item.name for item in fields(Layout)]
    unknown = [key for key in overrides if key not in known]
    if unknown:
        raise InputError("unknown key", field=f"lm.sites.{unknown[0]}", expected=", ".join(known), got=unknown[0])
    architecture = model.config.get_text_config().model_type
    layout = _LAYOUTS.get(architecture)
    if layout is not None:
        layout = replace(layout, **overrides)
    elif all(key in overrides for key in known if key not in ("layers", "weights")):
        layout = Layout(**overrides)
    else:
        raise InputError(
            f"the modules of the architecture {architecture!r} are not known",
            field="lm.sites",
            expected=f"one of {', '.join(_LAYOUTS)}, or their names in the YAML file",
            got=sorted(overrides) or None,
            fix=f"name the modules of this model, for example{_EXAMPLE}\n    Its block holds: {_block_names(model)}",
        )
    return Sites(model, layout.layers or _find_layers(model), layout)


def linear_widths(module: nn.Module) -> tuple[int, int]:
    """Input and output width of a linear layer, plain, Conv1D, quantised or with an adapter.

    >>> linear_widths(nn.Linear(3, 5)), linear_widths(Conv1D(5, 3))
    ((3, 5), (3, 5))

    Raises:
        InputError: It is not a linear layer.
    """
    base = _base_layer(module)
    if isinstance(base, Conv1D):
        return base.nx, base.nf
    if isinstance(base, nn.Linear):
        return base.in_features, base.out_features
    raise InputError("not a linear layer", field="lm.sites", expected="a linear layer", got=type(base).__name__)


def is_conv1d(module: nn.Module) -> bool:
    """Whether a linear layer keeps its weight as (in, out) rather than (out, in).

    >>> is_conv1d(Conv1D(5, 3)), is_conv1d(nn.Linear(3, 5))
    (True, False)
    """
    return isinstance(_base_layer(module), Conv1D)


def _base_layer(module: nn.Module) -> nn.Module:
    """The layer itself where peft has wrapped it."""
    base = getattr(module, "base_layer", module)
    return base if isinstance(base, nn.Module) else module


def _find_layers(model: PreTrainedModel) -> str:
    """Path of the list of decoder blocks."""
    decoder = model.get_decoder()
    for name, module in model.named_modules():
        if module is decoder:
            for attribute in ("layers", "h"):
                if isinstance(getattr(module, attribute, None), nn.ModuleList):
                    return f"{name}.{attribute}".removeprefix(".")
    raise InputError(
        "the decoder blocks were not found", field="lm.sites.layers", fix=f"name their list as in{_EXAMPLE}"
    )


def _block_names(model: PreTrainedModel) -> str:
    """Names inside one block, for the message about an unknown architecture."""
    try:
        block = model.get_submodule(f"{_find_layers(model)}.0")
    except (InputError, AttributeError):
        return "(not found; see print(model))"
    return ", ".join(name for name, _ in block.named_modules() if name)
