"""Shifts of attention heads as a bias of the attention's output projection, in plain weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from files.errors import InputError
from interventions.applied import Combined, Intervention, find_module
from interventions.heads import ShiftHeads
from interventions.weights import plain_weight
from lm.sites import is_conv1d

SETTING = "attention_bias"
"""The setting of a model's configuration that gives its attention biases."""


def head_shifts(intervention: Intervention) -> dict[str, Tensor] | None:
    """What a shift of heads adds at the input of each output projection (H * head_dim), by the projection's path.

    Args:
        intervention: Of one persona.

    Returns:
        None where it does anything but shift heads at every token, which no bias can do.
    """
    parts = intervention.parts if isinstance(intervention, Combined) else [intervention]
    added: dict[str, Tensor] = {}
    for part in parts:
        if not isinstance(part, ShiftHeads):
            return None
        plain = part.resolved()
        if len(plain) != 1:
            return None
        for layer, site in plain.layers.items():
            vector = plain.tables[layer][0, 0].float().cpu() * float(plain.strength[0])
            added[site.module] = added.get(site.module, torch.zeros_like(vector)) + vector
    return added


def takes_bias(model: PreTrainedModel, path: str) -> bool:
    """Whether a model's output projection has a bias, or its configuration can give it one.

    Args:
        model: The model.
        path: Path of the projection.
    """
    return find_module(model, path).bias is not None or path in _missing_biases(model)


@torch.no_grad()
def with_output_bias(model: PreTrainedModel, added: dict[str, Tensor]) -> PreTrainedModel:
    """A copy of a model whose output projections have a bias that equals a shift of their inputs.

    Args:
        model: The model; it is left alone.
        added: As `head_shifts` returns it.

    Returns:
        The copy; where the setting of the configuration was off, it is on, and the other biases it brings are zero.

    Raises:
        InputError: The architecture has no such bias, or the weights are quantised.
    """
    refused = [path for path in added if not takes_bias(model, path)]
    if refused:
        raise InputError(
            f"the architecture {model.config.get_text_config().model_type} has no bias on the attention's output",
            field="--form",
            expected=f"an architecture whose configuration has {SETTING}, such as llama, qwen3 or gemma2",
            got=refused[0],
            fix="export a bundle: --form bundle",
        )
    biased = copy.deepcopy(model)
    if any(find_module(model, path).bias is None for path in added):
        for path in _missing_biases(model):
            module = find_module(biased, path)
            weight: Tensor = module.weight  # type: ignore[assignment]
            module.bias = nn.Parameter(torch.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device))
        setattr(biased.config.get_text_config(), SETTING, True)
    for path, vector in added.items():
        module = find_module(biased, path)
        weight = plain_weight(module, path).float()
        shift = vector.to(weight.device) @ (weight if is_conv1d(module) else weight.T)
        bias: Tensor = module.bias  # type: ignore[assignment]
        bias.copy_(bias.float() + shift)
    return biased


def _missing_biases(model: PreTrainedModel) -> set[str]:
    """Paths of the modules that gain a bias where the setting is switched on."""
    config = copy.deepcopy(model.config)
    if getattr(config.get_text_config(), SETTING, None) is not False:
        return set()
    setattr(config.get_text_config(), SETTING, True)
    with torch.device("meta"):  # no weights are made
        fuller = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    here = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    there = {name for name, _ in fuller.named_parameters(remove_duplicate=False)}
    return {name.removesuffix(".bias") for name in there - here if name.endswith(".bias")}
