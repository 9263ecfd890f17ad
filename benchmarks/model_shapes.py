"""Shapes of language models by name, without their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
)

from files.assets import asset_path
from files.errors import InputError

SHAPES = Path(__file__).with_name("model_shapes.yaml")
# Without a gate between the two layers of an MLP.
_UNGATED = ("gptj", "gpt2", "opt")


@dataclass(frozen=True)
class Shape:
    """What the memory of a model follows from.

    Attributes:
        parameters: Number of its weights.
        layers: Decoder blocks.
        hidden: Width of the residual stream.
        heads: Attention heads.
        key_value_heads: Of keys and values.
        head_dim: Width of a head.
        mlp: Neurons of a block.
        gated: Whether the MLP has a gate.
        vocabulary: Tokens.
    """

    parameters: int
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_dim: int
    mlp: int
    gated: bool
    vocabulary: int


def known_settings() -> dict[str, dict[str, Any]]:
    """Settings of the models that recipes name."""
    return dict(yaml.safe_load(SHAPES.read_text(encoding="utf-8")))


def settings_of(name: str, revision: str | None = None) -> PreTrainedConfig:
    """The settings of a model: of its folder or the hub's cache, else of the list of known ones.

    Args:
        name: A folder or a name on the hub.
        revision: Branch, tag or commit there.

    Raises:
        InputError: It is neither here nor known.
    """
    known = known_settings().get(name)
    if known is not None:
        return AutoConfig.for_model(**known)
    try:
        return AutoConfig.from_pretrained(str(asset_path(name)), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "is no model whose shape is known",
            file=name,
            field="model.init_args.lm.name",
            expected=f"a folder with config.json, or a name in {SHAPES.name}",
            fix="add its settings there, or fetch its config.json",
        ) from error


def shape_of(config: PreTrainedConfig) -> Shape:
    """The shape that some settings give; weights are counted on a device that holds none.

    Args:
        config: The settings.

    Example:
        >>> from transformers import GPT2Config
        >>> small = GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=10, n_positions=4)
        >>> shape_of(small).mlp, shape_of(small).parameters
        (32, 1000)
    """
    speaks = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    kind = AutoModelForCausalLM if speaks else AutoModelForSequenceClassification
    with torch.device("meta"):
        model = kind.from_config(config, trust_remote_code=False)
    text = config.get_text_config()
    heads = text.num_attention_heads
    return Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=heads,
        key_value_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
        mlp=getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size,
        gated=text.model_type not in _UNGATED,
        vocabulary=text.vocab_size,
    )
