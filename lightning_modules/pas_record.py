"""What attention heads do at the end of answered questions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.heads import head_sites, stacked_heads
from interventions.places import Places
from interventions.recorded import recorded
from interventions.reductions import LastToken
from lm.chat import Chat, EncodedChat, encode_continuations, pad_encoded
from lm.passes import check_length, evaluating


def answered_heads(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    chats: Sequence[Chat],
    answers: Sequence[str],
    batch_size: int,
) -> Tensor:
    """Activations of all heads at the last token of each question with each of the answers.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its heads.
        chats: I questions.
        answers: A answers.
        batch_size: Texts in one forward pass.

    Returns:
        (I * A, L, H, head_dim) in float32 on the CPU; the answers of one question stand together.
    """
    encoded = encode_continuations(tokenizer, chats, [list(answers)] * len(chats))
    texts = [EncodedChat(prompt + end, [False] * len(prompt + end)) for prompt, ends in encoded for end in ends]
    check_length(model, max(map(len, texts)), "a statement with its answer")
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
