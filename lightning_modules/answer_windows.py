"""How likely given answers are: the positions around them, from one pass, and what is read off their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from lm.chat import EncodedChat, TokenBatch, encode_chats, pad_encoded
from lm.passes import ForwardRows, Side, Steering, check_length, evaluating
from metrics.benchmark import Answers
from metrics.token_log_probs import label_log_probs, token_kl
from personas.questions import Likelihood


@dataclass
class AnswerWindow:
    """The last positions of each row of a batch, wide enough for every answer and the position before it.

    Attributes:
        logits: (R, W, V).
        tokens: Ids and masks of these positions (R, W).
    """

    logits: Tensor
    tokens: TokenBatch


def answer_window(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Likelihood],
    steering: Steering | None,
    side: Side = "left",
) -> AnswerWindow:
    """Read given answers after their prompts.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        asked: R prompts with their answers.
        steering: What to apply, if anything.
        side: Where shorter rows are filled up; on the left, only the window's logits are computed.

    Returns:
        The window; answers of one length end at its end, however long their prompts are.

    Raises:
        InputError: If a text is longer than the model can read.
    """
    chats = [[*question.prompt, {"role": "assistant", "content": question.answer}] for question in asked]
    encoded = [EncodedChat(chat.ids, last_answer(chat.answer_mask)) for chat in encode_chats(tokenizer, chats)]
    batch = pad_encoded(encoded, tokenizer.pad_token_id, side=side).to(model.device)
    width = max(len(chat) - chat.answer_mask.index(True) + 1 for chat in encoded)
    width = min(width, batch.input_ids.shape[1])
    check_length(model, batch.input_ids.shape[1], "a prompt with its answer")
    keys = torch.tensor([question.record for question in asked], device=batch.input_ids.device)
    rows = ForwardRows(keys, batch.attention_mask, batch.answer_mask)
    with evaluating(model), steering.enter(rows) if steering else nullcontext():
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids(),
            use_cache=False,
            logits_to_keep=width if side == "left" else 0,
        ).logits
    if side == "left":
        tokens = TokenBatch(*(part[:, -width:] for part in (batch.input_ids, batch.attention_mask, batch.answer_mask)))
        return AnswerWindow(logits[:, -width:], tokens)
    return _last_real(logits, batch, width)


def _last_real(logits: Tensor, batch: TokenBatch, width: int) -> AnswerWindow:
    """The window of rows that are filled up on the right: each row's own last positions."""
    last = batch.attention_mask.sum(1, keepdim=True)
    place = last - width + torch.arange(width, device=last.device)
    inside = place >= 0
    place = place.clamp(min=0)
    ids, real, answers = (part.gather(1, place) for part in (batch.input_ids, batch.attention_mask, batch.answer_mask))
    rows = torch.arange(len(place), device=place.device).unsqueeze(1)
    return AnswerWindow(logits[rows, place], TokenBatch(ids, real * inside, answers & inside))


def last_answer(mask: list[bool]) -> list[bool]:
    """The mask of the last answer alone: earlier ones belong to the prompt.

    Example:
        >>> last_answer([False, True, False, True, True, False])
        [False, False, False, True, True, False]
    """
    last = len(mask) - mask[::-1].index(True) if True in mask else 0
    first = last
    while first and mask[first - 1]:
        first -= 1
    return [first <= place < last for place in range(len(mask))]


def add_window(answers: Answers, base: AnswerWindow, other: AnswerWindow, asked: Sequence[Likelihood]) -> None:
    """Read what was asked for off the logits of one side, lined up with those of the base model token by token.

    Args:
        answers: Where to add it.
        base: The base model with the plain prompts.
        other: Whose answers are read, with the prompts as it sees them.
        asked: The questions.

    Raises:
        InputError: If the answers are other tokens after the rewritten prompts.
    """
    ids, mask = other.tokens.input_ids, other.tokens.answer_mask
    predicted = label_log_probs(other.logits[:, :-1], ids[:, 1:], mask[:, 1:])
    own = label_log_probs(other.logits, ids, mask)
    width = min(base.logits.shape[1], other.logits.shape[1])
    compared = base.tokens.answer_mask[:, -width:]
    same = torch.equal(compared, mask[:, -width:])
    if not same or not torch.equal(base.tokens.input_ids[:, -width:][compared], ids[:, -width:][compared]):
        raise InputError(
            "the answers are cut into other tokens after the rewritten prompt, so they cannot be compared",
            expected="the same answer tokens as after the plain prompt",
            fix="end the rewritten prompt with the plain one's last turn",
        )
    wanted = torch.tensor([question.compare for question in asked], device=mask.device)
    kl = token_kl(base.logits[:, -width:], other.logits[:, -width:], compared & wanted[:, None])
    for row, question in enumerate(asked):
        answers.log_probs.append(predicted[row, mask[row, 1:]].cpu())
        answers.own_position.append(own[row, mask[row]].cpu())
        answers.divergence.append(kl[row, compared[row]].cpu() if question.compare else kl.new_zeros(0).cpu())
