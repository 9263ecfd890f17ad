"""Where interventions and recordings take hold in a model: heads, neurons and block outputs, by layer number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel

from files.errors import InputError
from interventions.applied import Site
from lm.sites import Sites, sites_of

NeuronSite = Literal["gate", "down"]


class Places:
    """The sites of one model by layer number; made by `places_of`, once per model.

    Attributes:
        sites: The modules behind them, and their sizes.
    """

    def __init__(self, model: nn.Module, sites: Sites) -> None:
        self.sites = sites
        self._paths: dict[int, list[str]] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            self._paths.setdefault(id(module), []).append(path)

    @property
    def layers(self) -> range:
        """The numbers of all layers."""
        return range(self.sites.num_layers)

    def heads(self, layer: int) -> Site:
        """The input of the attention's output projection (B, T, H * head_dim), which holds the heads side by side.

        Raises:
            InputError: There is no such layer; as in the other methods.
        """
        return Site(self._path(self.sites.attention_out(layer)), "input")

    def neurons(self, layer: int, at: NeuronSite = "down") -> Site:
        """Where the MLP's neurons are (B, T, mlp_width).

        Args:
            layer: The layer.
            at: The input of the down projection, or the activated gate (which without a gate is the same).
        """
        if at == "down":
            return Site(self._path(self.sites.mlp_down(layer)), "input")
        if at == "gate":
            return Site(self._path(self.sites.gate_activation(layer)), "output")
        raise InputError("no such place in an MLP", field="at", expected="gate or down", got=at)

    def block(self, layer: int) -> Site:
        """The output of a decoder block (B, T, D)."""
        return Site(self._path(self.sites.block(layer)), "output")

    def _path(self, module: nn.Module) -> str:
        paths = self._paths.get(id(module), [])
        if len(paths) != 1:
            raise InputError(
                "a module serves several layers, or the model has changed since its places were read",
                field="module",
                expected="one module per layer",
                got=paths,
                fix="call places_of anew, or name other modules in lm.sites",
            )
        return paths[0]


def places_of(model: PreTrainedModel, overrides: Mapping[str, Any] | None = None) -> Places:
    """The places of a model, also of one with an adapter or quantised weights.

    Args:
        model: The model.
        overrides: Module names for an architecture that is not known (`LMSpec.sites`).

    Raises:
        InputError: As in `lm.sites.sites_of`.
    """
    return Places(model, sites_of(model, overrides))
