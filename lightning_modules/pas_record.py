"""What attention heads do at the end of statements, made and not made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.heads import head_sites, stacked_heads
from interventions.places import Places
from interventions.recorded import recorded
from interventions.reductions import LastToken
from lm.chat import Chat, EncodedChat, encode_continuations, encode_prompts, pad_encoded
from lm.limits import check_length
from lm.passes import ForwardRows, Rows, evaluating, forward, padded
from lm.prefix import PrefixCache, common_length, repeated
from lm.token_scores import sliding_window
from personas.questionnaire import Item
from personas.second_person import told
from personas.wording import OPTION_LETTERS, Wording, described_by


def answered_heads(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    items: Sequence[Item],
    wording: Wording,
    batch_size: int,
) -> Tensor:
    """Activations of all heads at the last token of each item with an agreeing and with a disagreeing answer.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its heads.
        items: I items.
        wording: The words around them.
        batch_size: Texts in one forward pass.

    Returns:
        (2 I, L, H, head_dim) in float32 on the CPU; the two answers to one item stand together.
    """
    chats = [wording.ask(item, begin_answer=False) for item in items]
    encoded = encode_continuations(tokenizer, chats, [[OPTION_LETTERS[0], OPTION_LETTERS[-1]]] * len(chats))
    texts = [prompt + end for prompt, ends in encoded for end in ends]
    return _last_token_heads(model, tokenizer, places, texts, batch_size)


def told_heads(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    items: Sequence[Item],
    wording: Wording,
    batch_size: int,
) -> Tensor:
    """Activations of all heads where others of its trait are asked after telling an item, and without.

    Two others are asked, where there are as many: one keyed as the item is, one the other way round. Which answer
    follows from what was told then says nothing about the item's own side.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its heads.
        items: I items.
        wording: The words around them.
        batch_size: Texts in one forward pass.

    Returns:
        (2 I, L, H, head_dim) in float32 on the CPU, means over what is asked; told and not told stand together.
    """
    asked = [[wording.ask(other) for other in _others(items, place)] for place in range(len(items))]
    chats = [
        chat
        for item, plain in zip(items, asked, strict=True)
        for chat in (*(described_by(told(item.text), question) for question in plain), *plain)
    ]
    heads = _last_token_heads(model, tokenizer, places, encode_prompts(tokenizer, chats), batch_size)
    sizes = [len(plain) for plain in asked for _ in range(2)]
    return torch.stack([part.mean(0) for part in heads.split(sizes)])


def asked_heads(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    chats: Sequence[Chat],
    options: Sequence[str],
    batch_size: int,
    layers: Sequence[int],
) -> Tensor:
    """Activations of heads at the token after which options differ; what the prompts share is computed once.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its heads.
        chats: N prompts, such as items after one description.
        options: What there is to choose from.
        batch_size: Prompts in one forward pass.
        layers: L layers to record.

    Returns:
        (N, L, H, head_dim) in float32 on the CPU.
    """
    encoded = encode_continuations(tokenizer, chats, [list(options)] * len(chats))
    prompts = [prompt + ends[0][: min(common_length(ends[0], end) for end in ends[1:])] for prompt, ends in encoded]
    longest = max(map(len, prompts))
    check_length(model, longest, "a statement after a description")
    shared = min(*(common_length(prompts[0], prompt) for prompt in prompts), *(len(prompt) - 1 for prompt in prompts))
    # Padding after a shared beginning would push it out of a sliding window.
    shared = shared if longest <= sliding_window(model) else 0
    parts = []
    with evaluating(model):
        beginning = PrefixCache(model, None).states(prompts[0][:shared], 0) if shared else None
        for start in range(0, len(prompts), batch_size):
            texts = [prompt[shared:] for prompt in prompts[start : start + batch_size]]
            ids, mask = padded(texts, "left", model.device)
            rows = Rows(ids, mask, torch.zeros(len(texts), dtype=torch.long, device=model.device))
            if beginning is not None:
                rows.past = repeated(beginning, len(texts))
                rows.past_mask = torch.ones((len(texts), shared), dtype=torch.long, device=model.device)
            read = mask if rows.past_mask is None else torch.cat([rows.past_mask, mask], dim=1)
            known = ForwardRows(rows.keys, read, torch.zeros_like(mask, dtype=torch.bool))
            reduction = LastToken(device="cpu", dtype=torch.float32)
            with recorded(model, map(places.heads, layers), reduction, known=known) as recording:
                forward(model, rows, None, last_only=True)
            parts.append(stacked_heads(recording, places, layers))
    return torch.cat(parts)


def _others(items: Sequence[Item], place: int) -> list[Item]:
    """The next item of the trait that is keyed like one, and the next that is keyed the other way; itself if alone."""
    item = items[place]
    following = [other for other in (*items[place + 1 :], *items[:place]) if other.trait == item.trait]
    found = [next((other for other in following if (other.key == item.key) is same), None) for same in (True, False)]
    return [other for other in found if other is not None] or [item]


def _last_token_heads(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    encoded: Sequence[list[int]],
    batch_size: int,
) -> Tensor:
    texts = [EncodedChat(ids, [False] * len(ids)) for ids in encoded]
    check_length(model, max(map(len, texts)), "a statement")
    reduction = LastToken(device="cpu", dtype=torch.float32)
    with evaluating(model), recorded(model, head_sites(places), reduction) as recording:
        for start in range(0, len(texts), batch_size):
            rows = pad_encoded(texts[start : start + batch_size], tokenizer.pad_token_id).to(model.device)
            model(
                input_ids=rows.input_ids,
                attention_mask=rows.attention_mask,
                position_ids=rows.position_ids(),
                use_cache=False,
                logits_to_keep=1,
            )
    return stacked_heads(recording, places)
