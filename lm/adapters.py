"""Adapters beside a model's frozen weights, and new tokens in its vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError


@dataclass
class LoRASpec:
    """A low-rank adapter to train beside the frozen weights (through peft).

    Attributes:
        r: Rank of the adapter.
        alpha: Its scale; the update is multiplied by alpha / r.
        dropout: Share of the adapter's inputs dropped in training.
        target_modules: Names of the linear layers to adapt, such as q_proj; all of them where it is left out.
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: list[str] | None = None


@dataclass
class PeftSpec:
    """Any other adapter that peft knows.

    Attributes:
        type: Its name there, such as IA3, VERA, OFT or LOHA.
        settings: The keys of its configuration, such as target_modules.
    """

    type: str
    settings: dict[str, Any] = field(default_factory=dict)


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> None:
    """Make a tokenizer read each of some texts as one token.

    Raises:
        InputError: One of them is empty or stands twice.
    """
    if len(set(tokens)) != len(tokens) or not all(token.strip() for token in tokens):
        raise InputError(
            "new tokens must differ and have text",
            field="lm.new_tokens",
            expected="texts such as <TIME-I>",
            got=list(tokens),
        )
    tokenizer.add_tokens(list(tokens), special_tokens=True)


def make_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> None:
    """Give a model an embedding of each new token: the mean of those it has, so that they say nothing yet.

    Args:
        model: The model; its embeddings are extended where they are too few.
        tokenizer: Its tokenizer, which knows the tokens already.
        tokens: The new tokens.
    """
    ids = tokenizer.convert_tokens_to_ids(list(tokens))
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if max(ids) >= vocabulary:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    output = model.get_output_embeddings()
    layers = [model.get_input_embeddings(), *([] if output is None else [output])]
    known = [number for number in range(vocabulary) if number not in set(ids)]
    with torch.no_grad():
        means = [layer.weight[known].float().mean(0) for layer in layers]
        for layer, mean in zip(layers, means, strict=True):
            layer.weight[ids] = mean.to(layer.weight.dtype)


def with_adapter(
    model: PreTrainedModel, adapter: LoRASpec | PeftSpec, seed: int, new_tokens: Sequence[int] = (), bits: bool = False
) -> PreTrainedModel:
    """A model with a new adapter, which alone is trained; with LoRA the embeddings of new tokens are trained too.

    Args:
        model: The model.
        adapter: What to put beside its weights.
        seed: Seed of the adapter's first values.
        new_tokens: Ids whose embeddings are to be trained.
        bits: Whether the weights are quantised.

    Raises:
        InputError: The adapter does not fit the model, is unknown, or cannot train the new tokens.
    """
    from peft import get_peft_model, prepare_model_for_kbit_training

    if bits:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    low_rank = isinstance(adapter, LoRASpec)
    try:
        with seeded(seed), warnings.catch_warnings():
            # peft 0.21 still asks for an attribute that transformers 5.23 has renamed.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            # One that speaks of merging and exporting with its own functions; checkpoints here hold the rows trained.
            warnings.filterwarnings("ignore", message=".*weight_tying", category=UserWarning)
            return cast(PreTrainedModel, get_peft_model(model, _config(model, adapter, list(new_tokens))))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the adapter does not fit the model: {error}",
            field="lm.lora" if low_rank else "lm.peft",
            got=adapter.target_modules if isinstance(adapter, LoRASpec) else [adapter.type, adapter.settings],
            fix=f"name linear layers of this model in lm.{'lora' if low_rank else 'peft.settings'}.target_modules",
        ) from error


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """A plain model with what its adapter has learnt in its own weights; a model without an adapter as it is."""
    if not hasattr(model, "merge_and_unload"):
        return model
    return cast(PreTrainedModel, cast(Any, model).merge_and_unload())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed inside the block and leave the program's own random state as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _config(model: PreTrainedModel, adapter: LoRASpec | PeftSpec, new_tokens: list[int]) -> Any:
    from peft import LoraConfig

    if isinstance(adapter, PeftSpec):
        return _named_config(adapter, new_tokens)
    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.target_modules or "all-linear",
        fan_in_fan_out=model.config.model_type == "gpt2",
        task_type="CAUSAL_LM",
        trainable_token_indices=_rows_to_train(model, new_tokens) if new_tokens else None,
    )


def _rows_to_train(model: PreTrainedModel, new_tokens: list[int]) -> dict[str, list[int]]:
    """The layers that hold a row per token, by the last part of their names; tied ones are one layer."""
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    inside, out = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [inside] if out is None or out.weight is inside.weight else [inside, out]
    return {names[id(layer)]: new_tokens for layer in layers}


def _named_config(adapter: PeftSpec, new_tokens: list[int]) -> Any:
    from peft import PeftType, PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {
        str(kind.value): config
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if isinstance(kind, PeftType) and not issubclass(config, PromptLearningConfig)
    }
    kind = kinds.get(adapter.type.upper())
    if kind is None:
        raise InputError(
            "is no adapter of weights that peft knows",
            field="lm.peft.type",
            expected=f"one of {', '.join(sorted(kinds))}",
            got=adapter.type,
            fix="correct the name",
        )
    if new_tokens:
        raise InputError(
            "this adapter cannot train the embeddings of new tokens",
            field="lm.new_tokens",
            expected="lm.lora, or no adapter at all",
            got=f"lm.peft.type {adapter.type}",
            fix="use lm.lora, or leave the new tokens out",
        )
    return kind(task_type="CAUSAL_LM", **adapter.settings)
