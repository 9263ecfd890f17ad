"""What edits did, in numbers per token: for metrics, and for telling an edit that broke the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from editors.chunks import chunks_with_states
from editors.factors import predicting
from editors.halves import ModelHalves
from editors.outer import OuterOptions
from editors.records import EditBatch
from interventions.applied import applied
from interventions.weights import LowRankEdit
from lm.chat import TokenBatch
from losses.edit import IGNORED_LABEL, edit_success_loss, kl_per_position, label_log_probs, log_complement


@dataclass(frozen=True)
class EditEffect:
    """Effect of the edits of a batch, zero outside the masks.

    Attributes:
        before: (R, T) log-probability of each answer token of the outer rows under the base model.
        after: (R, T) the same under the row's edit.
        scored: (R, T) True on the tokens that count, those of scored rows.
        moved: (L, T) KL(base || edited) at the answer's positions of the locality rows.
        compared: (L, T) True on these positions.
    """

    before: Tensor
    after: Tensor
    scored: Tensor
    moved: Tensor
    compared: Tensor


@torch.no_grad()
def edit_effect(halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, most_tokens: int) -> EditEffect:
    """Measure base and edited model on the rows that judge the edits.

    Args:
        halves: The model, cut at the first edited block.
        edit: E edits.
        batch: The rows.
        most_tokens: Tokens that go through the upper layers at once.
    """
    labels, scored = batch.outer.labels(), batch.outer.answer_mask & batch.scored[:, None]
    labels = labels.masked_fill(~scored, IGNORED_LABEL)
    keep, following = predicting(labels)
    before, after = (torch.zeros(labels.shape, device=labels.device) for _ in range(2))
    for chunk, states in chunks_with_states(halves, batch.outer, batch.outer_record, keep, most_tokens):
        rows, columns = chunk.places
        targets = following[rows, columns]
        before[rows, columns + 1] = label_log_probs(halves.upper(chunk.tokens, states, chunk.keep), targets).float()
        with applied(halves.model, edit.rows(chunk.records)):
            logits = halves.upper(chunk.tokens, states, chunk.keep)
        after[rows, columns + 1] = label_log_probs(logits, targets).float()
    moved = divergence(halves, edit, batch.locality, batch.locality_record, batch.locality.answer_mask, most_tokens)
    return EditEffect(before, after, scored & (labels != IGNORED_LABEL), moved, batch.locality.answer_mask)


def effect_loss(effect: EditEffect, batch: EditBatch, options: OuterOptions) -> Tensor:
    """The training loss of each record (E,), by the same objective, as far as it is about answers.

    Training with `counted: all` also counts the tokens of the questions, and with `answer` compares other topics at
    the position before an answer too; these were not measured.

    Args:
        effect: Effect of the batch's edits.
        batch: The batch.
        options: Weights and objective of the loss.
    """
    is_same = batch.same_mask[:, None]
    same, has_same = _record_mean(effect.after, effect.scored & is_same, batch.outer_record, len(batch))
    others = effect.scored & ~is_same
    if options.objective == "edit_success":
        other, has_other = _record_mean(effect.after, others, batch.outer_record, len(batch))
        before, _ = _record_mean(effect.before, effect.scored & is_same, batch.outer_record, len(batch))
        loss = edit_success_loss(same, other, before) * (has_same & has_other)
    else:
        loss = -same
        if options.unlikelihood:
            loss = loss - _record_mean(log_complement(effect.after), others, batch.outer_record, len(batch))[0]
    moved, _ = _record_mean(effect.moved, effect.compared, batch.locality_record, len(batch))
    return options.cedit * loss + options.cloc * moved


def _record_mean(values: Tensor, mask: Tensor, record: Tensor, records: int) -> tuple[Tensor, Tensor]:
    """Mean over the masked tokens of each record (E,), zero for a record without any, and whether it has any (E,)."""
    sums = torch.stack([torch.where(mask, values, 0.0).sum(1), mask.sum(1).to(values.dtype)], 1)
    total, count = values.new_zeros(records, 2).index_add(0, record, sums).unbind(1)
    return total / count.clamp(min=1), count > 0


@torch.no_grad()
def divergence(
    halves: ModelHalves, edit: LowRankEdit, tokens: TokenBatch, record: Tensor, mask: Tensor, most_tokens: int
) -> Tensor:
    """KL(base || edited) at each masked position.

    Args:
        halves: The model, cut at the first edited block.
        edit: E edits.
        tokens: What is read.
        record: (R,) the edit of each row.
        mask: (R, T) True where to compare.
        most_tokens: Tokens that go through the upper layers at once.

    Returns:
        (R, T), zero elsewhere.
    """
    moved = torch.zeros(mask.shape, device=mask.device)
    for chunk, states in chunks_with_states(halves, tokens, record, mask, most_tokens):
        base = halves.upper(chunk.tokens, states, chunk.keep)
        with applied(halves.model, edit.rows(chunk.records)):
            values = kl_per_position(base, halves.upper(chunk.tokens, states, chunk.keep))
        moved[chunk.places] = values.float()
    return moved


def edit_shift(halves: ModelHalves, edit: LowRankEdit, tokens: TokenBatch, most_tokens: int) -> Tensor:
    """How far each edit moves the model on the edit's own text: mean KL(base || edited) per token (E,).

    A good edit moves some tokens by a little; one that broke the model moves all of them by several nats, or to nan.

    Args:
        halves: The model, cut at the first edited block.
        edit: E edits.
        tokens: Texts of the edits, as many rows for each.
        most_tokens: Tokens that go through the upper layers at once.
    """
    mask = tokens.attention_mask.bool()
    record = torch.arange(len(tokens), device=mask.device) // (len(tokens) // len(edit))
    moved = divergence(halves, edit, tokens, record, mask, most_tokens)
    sums = torch.zeros(2, len(edit), device=mask.device).index_add(1, record, torch.stack([moved.sum(1), mask.sum(1)]))
    return sums[0] / sums[1]
