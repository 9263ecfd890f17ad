"""The loss an edit is trained by, and how far it reaches: chunk by chunk, so that memory does not grow with the batch.

The losses are weighted sums over tokens, and the weights are known beforehand. So each chunk of rows is run,
differentiated and forgotten before the next one; what remains are the gradients with respect to the edit's factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from editors.chunks import RowChunk, chunks_with_states
from editors.factors import CountedTokens, counted_labels, predicting
from editors.halves import ModelHalves
from editors.records import EditBatch
from files.errors import check_at_least
from interventions.applied import applied
from interventions.weights import LowRankEdit
from losses.edit import IGNORED_LABEL, edit_success_loss, kl_per_position, label_log_probs, log_complement


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
        chunk_tokens: Tokens that go through the upper layers at once; fewer need less memory, more are faster up to a
            point. With `edit_success` all opinions of a record go together.
    """

    cedit: float = 0.1
    cloc: float = 1.0
    objective: Literal["likelihood", "edit_success"] = "likelihood"
    unlikelihood: bool = True
    counted: CountedTokens = "answer"
    chunk_tokens: int = 256

    def __post_init__(self) -> None:
        check_at_least("model.init_args.loss.cedit", self.cedit, 0)
        check_at_least("model.init_args.loss.cloc", self.cloc, 0)
        check_at_least("model.init_args.loss.chunk_tokens", self.chunk_tokens, 1)


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
    edit_losses = _opinions(halves, edit, batch, options, backward)
    locality = _other_topics(halves, edit, batch, options, backward)
    total = (options.cedit * edit_losses + options.cloc * locality).mean()
    return OuterLosses(edit_losses, locality, total)


def _opinions(
    halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, backward: bool
) -> Tensor:
    """Loss of the edited opinions (E,)."""
    success = options.objective == "edit_success"
    chosen = batch.scored if success or options.unlikelihood else batch.scored & batch.same_mask
    labels = counted_labels(batch.outer, options.counted).masked_fill(~chosen[:, None], IGNORED_LABEL)
    keep, following = predicting(labels)
    shares = torch.stack(
        [_shares(keep.sum(1) * (batch.same_mask == same), batch.outer_record, len(batch)) for same in (False, True)]
    )
    losses = torch.zeros(len(batch), device=labels.device)
    parts = chunks_with_states(
        halves, batch.outer, batch.outer_record, keep, options.chunk_tokens, whole_records=success
    )
    for chunk, states in parts:
        rows, columns = chunk.places
        same = batch.same_mask[rows]
        judged = _Judged(batch.outer_record[rows], same, shares[same.long(), batch.outer_record[rows]])
        with torch.set_grad_enabled(backward):
            targets = following[rows, columns]
            log_probs = label_log_probs(_edited_logits(halves, edit, chunk, states), targets)
            if success:
                base = _base_log_probs(halves, chunk, states, targets, batch.same_mask[chunk.rows])
                values = _success_loss(log_probs, base, judged, len(batch))
            else:
                values = _likelihood_loss(log_probs, judged, len(batch))
        losses += values.detach()
        if backward:
            _differentiate(values.sum() * (options.cedit / len(batch)), edit)
    return losses


class _Judged(NamedTuple):
    """Of each kept token (N,): its record, whether it is of the target trait, and its share of its record's mean."""

    record: Tensor
    same: Tensor
    share: Tensor


def _likelihood_loss(log_probs: Tensor, judged: _Judged, records: int) -> Tensor:
    """Negative likelihood of the target's tokens and negative unlikelihood of the others' (E,)."""
    values = -torch.where(judged.same, log_probs, log_complement(log_probs)) * judged.share
    return values.new_zeros(records).index_add(0, judged.record, values)


def _success_loss(log_probs: Tensor, base: Tensor, judged: _Judged, records: int) -> Tensor:
    """Negative logarithm of edit success (E,), zero for a record that lacks the target's tokens or the others'."""
    kinds = 2 * judged.record + judged.same
    other, same = _sums(log_probs * judged.share, kinds, 2 * records).view(-1, 2).unbind(1)
    before = _sums(base * judged.share, kinds, 2 * records).view(-1, 2)[:, 1]
    whole = (_sums(judged.share, kinds, 2 * records).view(-1, 2) > 0).all(1)
    return edit_success_loss(same, other, before) * whole


def _sums(values: Tensor, place: Tensor, number: int) -> Tensor:
    return values.new_zeros(number).index_add(0, place, values)


@torch.no_grad()
def _base_log_probs(halves: ModelHalves, chunk: RowChunk, states: Tensor, targets: Tensor, same: Tensor) -> Tensor:
    """Log-probabilities (N,) under the base model for rows of the target trait; zero for others, which have no use."""
    keep = chunk.keep[same]
    of_same = same[chunk.keep.nonzero()[:, 0]]
    found = torch.zeros(targets.shape, device=targets.device)
    if keep.any():
        logits = halves.upper(chunk.tokens.rows(same), states[same], keep)
        found[of_same] = label_log_probs(logits, targets[of_same]).float()
    return found


def _other_topics(
    halves: ModelHalves, edit: LowRankEdit, batch: EditBatch, options: OuterOptions, backward: bool
) -> Tensor:
    """Mean KL on other topics (E,)."""
    keep = locality_positions(batch, options.counted)
    shares = _shares(keep.sum(1), batch.locality_record, len(batch))
    losses = torch.zeros(len(batch), device=keep.device)
    parts = chunks_with_states(halves, batch.locality, batch.locality_record, keep, options.chunk_tokens)
    for chunk, states in parts:
        records = batch.locality_record[chunk.places[0]]
        with torch.no_grad():
            base = halves.upper(chunk.tokens, states, chunk.keep)
        with torch.set_grad_enabled(backward):
            values = kl_per_position(base, _edited_logits(halves, edit, chunk, states)) * shares[records]
        losses.index_add_(0, records, values.detach().to(losses.dtype))
        if backward:
            _differentiate(values.sum() * (options.cloc / len(batch)), edit)
    return losses


def locality_positions(batch: EditBatch, counted: CountedTokens) -> Tensor:
    """Positions on other topics at which the model must say the same (L, T): everywhere from where an answer begins.

    Args:
        batch: The batch.
        counted: With `all` only the answer's own positions, as in the release; with `answer` also the one before it,
            which decides how the answer begins.
    """
    answers = batch.locality.answer_mask
    if counted == "all":
        return answers
    return answers | predicting(torch.where(answers, batch.locality.labels(), IGNORED_LABEL))[0]


def _edited_logits(halves: ModelHalves, edit: LowRankEdit, chunk: RowChunk, states: Tensor) -> Tensor:
    with applied(halves.model, edit.rows(chunk.records)):
        return halves.upper(chunk.tokens, states, chunk.keep)


def _shares(counted: Tensor, records: Tensor, number: int) -> Tensor:
    """One over the number of counted tokens of each record (E,), zero for a record without any."""
    totals = torch.zeros(number, device=counted.device).index_add(0, records, counted.float())
    return torch.where(totals > 0, 1 / totals, 0.0)


def _differentiate(loss: Tensor, edit: LowRankEdit) -> None:
    """Add the gradients of one chunk to the edit's leaves."""
    torch.autograd.backward(loss, inputs=[tensor for change in edit.weights.values() for tensor in change.tensors()])
