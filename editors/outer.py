"""The loss an edit is trained by, and how far it reaches: chunk by chunk, so that memory does not grow with the batch.

The losses are weighted sums over tokens, and the weights are known beforehand. So each chunk of rows is run,
differentiated and forgotten before the next one; what remains are the gradients with respect to the edit's factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from editors.chunks import RowChunk, row_chunks
from editors.factors import CountedTokens, counted_labels, predicting
from editors.halves import ModelHalves
from editors.records import EditBatch
from interventions.applied import applied
from interventions.weights import LowRankEdit
from losses.edit import IGNORED_LABEL, kl_per_position, label_log_probs, log_complement


@dataclass
class OuterOptions:
    """What an edit is trained towards.

    Attributes:
        cedit: Weight of the edited opinions.
        cloc: Weight of staying the same on other topics.
        objective: `likelihood` as published, or `edit_success`: the negative logarithm of edit success itself. Where
            much of a text is said by every personality alike, as by small models, the published unlikelihood is all
            about those tokens, and an edit learns to garble them; edit success has hardly any gradient there.
        unlikelihood: With `likelihood`, also make opinions of other traits less likely.
        counted: Count the tokens of the answers, or all (as the release does for the edited opinions).
        chunk_tokens: Tokens that go through the upper layers at once; fewer need less memory.
    """

    cedit: float = 0.1
    cloc: float = 1.0
    objective: Literal["likelihood", "edit_success"] = "likelihood"
    unlikelihood: bool = True
    counted: CountedTokens = "answer"
    chunk_tokens: int = 256


@dataclass(frozen=True)
class OuterLosses:
    """Losses of each record (E,); zero where a record has nothing to count.

    Attributes:
        edit: Likelihood of the target's opinions, plus unlikelihood of the others'.
        locality: Mean KL(base || edited) on other topics.
        total: () mean over records of `cedit * edit + cloc * locality`.
    """

    edit: Tensor
    locality: Tensor
    total: Tensor


def outer_losses(
    halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, *, backward: bool = False
) -> OuterLosses:
    """Losses of every record under its own edit.

    Args:
        halves: The model, cut at the first edited block.
        edit: E edits; with `backward` their tensors are leaves, whose `grad` receives the gradients of the total.
        batch: The rows that judge them.
        options: Weights and limits.
        backward: Differentiate.
    """
    judged = _success if options.objective == "edit_success" else _opinions
    edit_losses = judged(halves, edit, batch, options, backward)
    locality = _other_topics(halves, edit, batch, options, backward)
    total = (options.cedit * edit_losses + options.cloc * locality).mean()
    return OuterLosses(edit_losses, locality, total)


def _opinions(
    halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, backward: bool
) -> Tensor:
    """Loss of the edited opinions (E,)."""
    labels = counted_labels(batch.outer, options.counted)
    chosen = batch.scored if options.unlikelihood else batch.scored & batch.same_mask
    counted = predicting(labels)[0].sum(1) * chosen
    shares = [_shares(counted * (batch.same_mask == same), batch.outer_record, len(batch)) for same in (False, True)]
    losses = torch.zeros(len(batch), device=labels.device)
    for chunk in row_chunks(batch.outer, batch.outer_record, chosen, options.chunk_tokens):
        keep, targets = predicting(labels[chunk.rows, chunk.columns])
        rows = chunk.rows[keep.nonzero()[:, 0]]
        records, same = batch.outer_record[rows], batch.same_mask[rows]
        with torch.set_grad_enabled(backward):
            log_probs = label_log_probs(_edited_logits(halves, edit, chunk, halves.lower(chunk.tokens), keep), targets)
            values = -torch.where(same, log_probs * shares[1][records], log_complement(log_probs) * shares[0][records])
        losses.index_add_(0, records, values.detach().to(losses.dtype))
        if backward:
            _differentiate(values.sum() * (options.cedit / len(batch)), edit)
    return losses


def _success(halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, backward: bool) -> Tensor:
    """Negative logarithm of edit success (E,): softplus(other - same) + relu(same before - same), of mean log-probs."""
    labels = counted_labels(batch.outer, options.counted)
    counted = predicting(labels)[0].sum(1) * batch.scored
    shares = [_shares(counted * (batch.same_mask == same), batch.outer_record, len(batch)) for same in (False, True)]
    other, same, before = (torch.zeros(len(batch), device=labels.device) for _ in range(3))
    for chunk in row_chunks(batch.outer, batch.outer_record, batch.scored, options.chunk_tokens):
        keep, targets = predicting(labels[chunk.rows, chunk.columns])
        rows = chunk.rows[keep.nonzero()[:, 0]]
        records, is_same = batch.outer_record[rows], batch.same_mask[rows]
        with torch.no_grad():
            states = halves.lower(chunk.tokens)
            after = label_log_probs(_edited_logits(halves, edit, chunk, states, keep), targets).float()
            base = label_log_probs(halves.upper(chunk.tokens, states, keep), targets).float()
        other.index_add_(0, records, after * shares[0][records] * ~is_same)
        same.index_add_(0, records, after * shares[1][records] * is_same)
        before.index_add_(0, records, base * shares[1][records] * is_same)
    whole = (shares[0] > 0) & (shares[1] > 0)
    if backward:
        pull = torch.sigmoid(other - same) * whole
        slopes = (pull * shares[0], -(pull + (before > same) * whole) * shares[1])
        _follow(halves, edit, batch, options, labels, slopes)
    return (F.softplus(other - same) + F.relu(before - same)) * whole


def _follow(
    halves: ModelHalves,
    edit: LowRankEdit,
    batch: EditBatch,
    options: OuterOptions,
    labels: Tensor,
    slopes: tuple[Tensor, Tensor],
) -> None:
    """Differentiate the log-probabilities of other and same opinions, each record's weighted by its slopes (E,)."""
    for chunk in row_chunks(batch.outer, batch.outer_record, batch.scored, options.chunk_tokens):
        keep, targets = predicting(labels[chunk.rows, chunk.columns])
        rows = chunk.rows[keep.nonzero()[:, 0]]
        records, is_same = batch.outer_record[rows], batch.same_mask[rows]
        log_probs = label_log_probs(_edited_logits(halves, edit, chunk, halves.lower(chunk.tokens), keep), targets)
        weighted = log_probs * torch.where(is_same, slopes[1][records], slopes[0][records])
        _differentiate(weighted.sum() * (options.cedit / len(batch)), edit)


def _other_topics(
    halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, backward: bool
) -> Tensor:
    """Mean KL on other topics (E,)."""
    positions = locality_positions(batch, options.counted)
    shares = _shares(positions.sum(1), batch.locality_record, len(batch))
    losses = torch.zeros(len(batch), device=positions.device)
    for chunk in row_chunks(batch.locality, batch.locality_record, positions.any(1), options.chunk_tokens):
        keep = positions[chunk.rows, chunk.columns]
        records = batch.locality_record[chunk.rows[keep.nonzero()[:, 0]]]
        states = halves.lower(chunk.tokens)
        with torch.no_grad():
            base = halves.upper(chunk.tokens, states, keep)
        with torch.set_grad_enabled(backward):
            values = kl_per_position(base, _edited_logits(halves, edit, chunk, states, keep)) * shares[records]
        losses.index_add_(0, records, values.detach().to(losses.dtype))
        if backward:
            _differentiate(values.sum() * (options.cloc / len(batch)), edit)
    return losses


def locality_positions(batch: EditBatch, counted: CountedTokens) -> Tensor:
    """Positions on other topics at which the model must say the same (L, T): everywhere from where an answer begins.

    Args:
        batch: The batch.
        counted: With `all` only the answer's own positions, as in the release; with `answer` the one before it too,
        which
            decides how the answer begins.
    """
    answers = batch.locality.answer_mask
    if counted == "all":
        return answers
    return answers | predicting(torch.where(answers, batch.locality.labels(), IGNORED_LABEL))[0]


def _edited_logits(halves: ModelHalves, edit: LowRankEdit, chunk: RowChunk, states: Tensor, keep: Tensor) -> Tensor:
    with applied(halves.model, edit.rows(chunk.records)):
        return halves.upper(chunk.tokens, states, keep)


def _shares(counted: Tensor, records: Tensor, number: int) -> Tensor:
    """One over the number of counted tokens of each record (E,), zero for a record without any."""
    totals = torch.zeros(number, device=counted.device).index_add(0, records, counted.float())
    return torch.where(totals > 0, 1 / totals, 0.0)


def _differentiate(loss: Tensor, edit: LowRankEdit) -> None:
    """Add the gradients of one chunk to the edit's leaves."""
    torch.autograd.backward(loss, inputs=[tensor for change in edit.weights.values() for tensor in change.tensors()])
