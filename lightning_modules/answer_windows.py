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
from lm.limits import check_length
from lm.passes import ForwardRows, Rows, Side, Steering, evaluating, forward, padded
from lm.prefix import PASS_COST, chosen, common_length
from lm.token_scores import sliding_window
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
    cached: bool = True,
) -> AnswerWindow:
    """Read given answers after their prompts.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        asked: R prompts with their answers.
        steering: What to apply, if anything.
        side: Where shorter rows are filled up; on the left, only the window's logits are computed.
        cached: Read what the prompts of a record begin with once, where that saves more than it costs. What goes on
            behind it is filled up on the left.

    Returns:
        The window; answers of one length end at its end, however long their prompts are.

    Raises:
        InputError: If a text is longer than the model can read.
    """
    chats = [[*question.prompt, {"role": "assistant", "content": question.answer}] for question in asked]
    encoded = [EncodedChat(chat.ids, last_answer(chat.answer_mask)) for chat in encode_chats(tokenizer, chats)]
    longest = max(map(len, encoded))
    check_length(model, longest, "a prompt with its answer")
    width = min(max(len(chat) - chat.answer_mask.index(True) + 1 for chat in encoded), longest)
    records = [question.record for question in asked]
    if cached and longest <= sliding_window(model):
        beginnings = shared_beginnings(encoded, records)
        saved = sum(beginnings[record] * (records.count(record) - 1) for record in beginnings)
        if saved > PASS_COST * 2:
            return _after_beginnings(model, encoded, records, beginnings, steering, width)
    batch = pad_encoded(encoded, tokenizer.pad_token_id, side=side).to(model.device)
    keys = torch.tensor(records, device=batch.input_ids.device)
    rows = ForwardRows(keys, batch.attention_mask, batch.answer_mask)
    with evaluating(model), steering.enter(rows) if steering else nullcontext():
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids(),
            use_cache=False,
            logits_to_keep=width if side == "left" else 0,
        ).logits
    return _last_columns(logits, batch, width) if side == "left" else _last_real(logits, batch, width)


def shared_beginnings(encoded: Sequence[EncodedChat], records: Sequence[int]) -> dict[int, int]:
    """How many tokens all texts of a record begin with, short of the last token before an answer.

    Args:
        encoded: The texts.
        records: The record of each.

    Example:
        >>> texts = [EncodedChat([1, 2, 3, 4, end], [False] * 4 + [True]) for end in (5, 6)]
        >>> shared_beginnings(texts, [0, 0]), shared_beginnings(texts, [0, 1])
        ({0: 3}, {0: 3, 1: 3})
    """
    found: dict[int, tuple[list[int], int]] = {}
    for chat, record in zip(encoded, records, strict=True):
        first, length = found.get(record, (chat.ids, len(chat)))
        found[record] = first, min(length, common_length(first, chat.ids), chat.answer_mask.index(True) - 1)
    return {record: max(0, length) for record, (_, length) in found.items()}


def _after_beginnings(
    model: PreTrainedModel,
    encoded: Sequence[EncodedChat],
    records: Sequence[int],
    beginnings: dict[int, int],
    steering: Steering | None,
    width: int,
) -> AnswerWindow:
    """The window of rows that go on from the beginning of their record, which is read once."""
    device = model.device
    bodies = {record: chat.ids[: beginnings[record]] for chat, record in zip(encoded, records, strict=True)}
    place = {record: row for row, record in enumerate(bodies)}
    rest = [
        EncodedChat(chat.ids[beginnings[record] :], chat.answer_mask[beginnings[record] :])
        for chat, record in zip(encoded, records, strict=True)
    ]
    batch = pad_encoded(rest, 0, side="left").to(device)
    keys, parents = torch.tensor(records, device=device), torch.tensor([place[one] for one in records], device=device)
    with evaluating(model):
        ids, mask = padded(list(bodies.values()), "left", device)
        before = Rows(ids, mask, torch.tensor(list(bodies), device=device), closes_prompt=False)
        _, states = forward(model, before, steering, last_only=True)
        rows = Rows(batch.input_ids, batch.attention_mask, keys, chosen(states, parents), mask[parents])
        rows.is_answer = batch.answer_mask
        logits, _ = forward(model, rows, steering, last_only=False)
    return _last_columns(logits, batch, width)


def _last_columns(logits: Tensor, batch: TokenBatch, width: int) -> AnswerWindow:
    parts = (part[:, -width:] for part in (batch.input_ids, batch.attention_mask, batch.answer_mask))
    return AnswerWindow(logits[:, -width:], TokenBatch(*parts))


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
