"""Which weights of a model are edited, from layers and roles or from their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from files.errors import InputError
from lm.sites import Sites, linear_widths

OPTION = "model.init_args.weights"


@dataclass(frozen=True)
class EditedWeights:
    """The edited weights of a model.

    Attributes:
        modules: Their layers by path, in order.
        first: The first decoder block that holds one; below it nothing changes.
    """

    modules: dict[str, nn.Module]
    first: int

    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each, by path."""
        return {path: linear_widths(module) for path, module in self.modules.items()}


def select_weights(
    sites: Sites, layers: Sequence[int] | None = None, weights: Sequence[str] | None = None, *, last: int = 3
) -> EditedWeights:
    """Find the weights to edit.

    Args:
        sites: The places of the model.
        layers: Decoder blocks, from 0; the last ones if left out.
        weights: Roles taken in each of these layers, those of the MLP (such as `down`) or `attention_out`; or whole
            names such as `model.layers.3.mlp.down_proj` (then `layers` plays no part for them); the MLP's weights of
            the layers if left out.
        last: How many layers from the end, where `layers` is left out.

    Raises:
        InputError: If a layer, role or module does not exist, or nothing is chosen.
    """
    if layers is None:
        layers = range(max(0, sites.num_layers - last), sites.num_layers)
    for layer in layers:
        if not 0 <= layer < sites.num_layers:
            raise InputError(
                "the model has no such layer to edit",
                field="model.init_args.layers",
                expected=f"numbers from 0 to {sites.num_layers - 1}",
                got=layer,
                fix="correct the number, or leave layers out to edit the last ones",
            )
    roles = None if weights is None else [name for name in weights if "." not in name]
    modules: dict[str, nn.Module] = {}
    for layer in layers:
        of_mlp = sites.editable_weights(layer)
        known = {**of_mlp, "attention_out": sites.attention_weight(layer)}
        for role in of_mlp if roles is None else roles:
            if role not in known:
                raise InputError(
                    "the model has no weight of this role",
                    field=OPTION,
                    expected=f"{', '.join(known)}, or a module path such as {next(iter(known.values()))[0]}",
                    got=role,
                    fix="correct the name, or leave weights out to edit all of these",
                )
            path, module = known[role]
            modules[path] = module
    for name in weights or ():
        if "." in name:
            modules[name.removesuffix(".weight")] = _module(sites, name)
    if not modules:
        nowhere = weights is None or bool(roles)
        raise InputError(
            "no layer to edit is named" if nowhere else "no weight to edit is named",
            field="model.init_args.layers" if nowhere else OPTION,
            expected="at least one layer" if nowhere else "at least one role or module path",
            got=[],
            fix="name one, or leave the option out",
        )
    first = min(_block_of(sites, path, module) for path, module in modules.items())
    return EditedWeights(modules, first)


def _module(sites: Sites, name: str) -> nn.Module:
    """A linear layer by its path, as the option names it."""
    try:
        module = sites.module(name)
        linear_widths(module)
    except InputError as error:
        error.field = OPTION
        error.fix = error.fix or "name a linear layer of a decoder block, or a role such as down"
        raise
    return module


def _block_of(sites: Sites, path: str, module: nn.Module) -> int:
    """Number of the decoder block that a linear layer lies in."""
    linear_widths(module)
    for layer in range(sites.num_layers):
        if any(part is module for part in sites.block(layer).modules()):
            return layer
    raise InputError(
        "lies outside of the decoder blocks",
        field=OPTION,
        expected="a linear layer inside a decoder block",
        got=path,
        fix=f"name another, such as {next(iter(sites.editable_weights(0).values()))[0]}",
    )
