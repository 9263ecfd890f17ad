"""Block outputs of many texts, one vector per text and layer, reduced while they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.places import Places
from interventions.recorded import recorded
from interventions.reductions import LastToken, MeanOverTokens, Reduction
from lm.chat import Chat, EncodedChat, encode_chats, encode_prompts, pad_encoded
from lm.limits import check_length
from lm.passes import evaluating


def prompt_ends(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    prompts: Sequence[Chat],
    layers: Sequence[int],
    batch_size: int,
) -> Tensor:
    """Block outputs at the last token of each prompt, where the answer is about to begin.

    Args:
        model: The model.
        tokenizer: Its tokenizer; the chat template is applied.
        places: Of the model.
        prompts: N chats.
        layers: L layers.
        batch_size: Texts in one forward pass; it does not change the result beyond rounding.

    Returns:
        (N, L, D) in float32 on the CPU.

    Raises:
        InputError: A chat is malformed, or longer than the model can read.
    """
    texts = [EncodedChat(ids, [True] * len(ids)) for ids in encode_prompts(tokenizer, prompts)]
    reduction = LastToken(device="cpu", dtype=torch.float32)
    return torch.stack(_recorded(model, tokenizer, places, texts, layers, batch_size, reduction), 1)


def answer_means(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    chats: Sequence[Chat],
    layers: Sequence[int],
    batch_size: int,
) -> Tensor:
    """Block outputs averaged over the tokens of each chat's answers.

    Args:
        model: The model.
        tokenizer: Its tokenizer; the chat template is applied.
        places: Of the model.
        chats: N chats with at least one answer each.
        layers: L layers.
        batch_size: Texts in one forward pass; it does not change the result beyond rounding.

    Returns:
        (N, L, D) in float32 on the CPU; nan for a chat without an answer.

    Raises:
        InputError: A chat is malformed, or longer than the model can read.
    """
    texts = encode_chats(tokenizer, chats)
    means = _recorded(model, tokenizer, places, texts, layers, batch_size, MeanOverTokens())
    return torch.stack([mean.cpu() for mean in means], 1)


def answer_features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    chats: Sequence[Chat],
    layer: int,
    batch_size: int,
    reduction: Reduction,
) -> Any:
    """One layer's outputs at the tokens of each chat's answers, reduced in any way to a row per chat.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Of the model.
        chats: N chats.
        layer: The layer.
        batch_size: Texts in one forward pass.
        reduction: What to keep of them; its result has a row per chat.

    Returns:
        The rows (N, ...), in the order of the chats.
    """
    texts = encode_chats(tokenizer, chats)
    return _recorded(model, tokenizer, places, texts, [layer], batch_size, reduction)[0]


def _recorded(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    texts: Sequence[EncodedChat],
    layers: Sequence[int],
    batch_size: int,
    reduction: Reduction,
) -> list[Tensor]:
    """The reduction of each layer over the masked tokens of texts, in their order."""
    check_length(model, max(map(len, texts), default=0), "a text")
    # Texts of like length are computed together; padding, on whichever side, never counts.
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), row))
    sites = [places.block(layer) for layer in layers]
    with evaluating(model), recorded(model, sites, reduction) as recording:
        for start in range(0, len(order), batch_size):
            rows = pad_encoded([texts[row] for row in order[start : start + batch_size]], tokenizer.pad_token_id)
            rows = rows.to(model.device)
            recording.count(rows.answer_mask)
            model(
                input_ids=rows.input_ids,
                attention_mask=rows.attention_mask,
                position_ids=rows.position_ids(),
                use_cache=False,
                logits_to_keep=1,
            )
    back = torch.tensor(order).argsort()
    return [found[back.to(found.device)] for found in (recording[site] for site in sites)]
