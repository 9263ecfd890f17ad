"""Tiny random models of every supported architecture, and a tokenizer that needs no file.

Both are built from code alone, so that the suite needs neither the network nor the shipped model. The sizes are chosen
to catch wrong assumptions: where the architecture allows it, `head_dim` is not `hidden_size / heads`, the number of
key-value heads is smaller than the number of heads, and no parameter keeps its default value (biases are not zero,
norms not one).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

Architecture = Literal["llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3", "gpt2", "gptj"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SPECIAL_TOKENS = (PAD, BOS, END, "<|system|>", "<|user|>", "<|assistant|>")
# A few merges, so that one word can be one token, several tokens, or end inside another token.
MERGES = ("t h", "th e", "Ġ the", "a n", "Ġ a", "i n", "in g", "o r", "e r", "Ġ I")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' }}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

HIDDEN, HEADS, KEY_VALUE_HEADS, HEAD_DIM, MLP, POSITIONS = 32, 4, 2, 16, 48, 512
VOCABULARY = len(SPECIAL_TOKENS) + 256 + len(MERGES)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 272 tokens with pad 0, bos 1, end-of-turn 2 and a chat template that marks the answers.

    Every call builds a new object: a test may change its template, its pad token or its padding side.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(left, right) for left, right in (merge.split() for merge in MERGES)]
    names = [*SPECIAL_TOKENS, *alphabet, *(left + right for left, right in merges)]
    vocabulary = {name: index for index, name in enumerate(names)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=POSITIONS,
    )


def tiny_config(arch: Architecture, layers: int = 2) -> PreTrainedConfig:
    """Configuration of a tiny model of this architecture, with the vocabulary of `byte_tokenizer`."""
    base = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    gpt = {**base, "n_embd": HIDDEN, "n_layer": layers, "n_head": HEADS, "n_positions": POSITIONS}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    gated = {
        **base,
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": POSITIONS,
    }
    match arch:
        case "llama":
            return LlamaConfig(**gated)
        case "mistral":
            return MistralConfig(**gated, sliding_window=None)
        case "qwen2":
            return Qwen2Config(**gated)
        case "qwen3":
            return Qwen3Config(**gated)
        case "gemma2":
            return Gemma2Config(**gated, query_pre_attn_scalar=HEAD_DIM, sliding_window=POSITIONS)
        case "phi3":
            return Phi3Config(**gated)
        case "gpt2":
            return GPT2Config(**gpt, **no_dropout)
        case "gptj":
            return GPTJConfig(**gpt, **no_dropout, rotary_dim=HIDDEN // HEADS)
    raise ValueError(f"no tiny configuration for {arch!r}; expected one of {', '.join(ARCHITECTURES)}")


def random_model(arch: Architecture = "llama", layers: int = 2, seed: int = 0) -> PreTrainedModel:
    """A tiny float32 model in eval mode whose weights depend on the seed alone; leaves the random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(arch, layers), dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()
