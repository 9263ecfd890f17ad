"""Training towards edit success itself: the loss is its negative logarithm, and so is the gradient."""

from dataclasses import replace

import pytest
import torch

from editors.outer import OuterOptions, outer_losses
from editors.training import as_leaves
from interventions.applied import applied
from metrics.edit_success import edit_success
from tests.models import ARCHITECTURES
from tests.unit.editors.batches import one_record, random_batch
from tests.unit.editors.test_outer import Editor

OPTIONS = OuterOptions(objective="edit_success", cedit=1.0, cloc=0.0, chunk_tokens=40)
CHUNKS = (1, 40, 200, 10_000)


def logits(model, tokens):
    return model(tokens.input_ids, attention_mask=tokens.attention_mask, position_ids=tokens.position_ids()).logits


def gradients(edit):
    return [tensor.grad for change in edit.weights.values() for tensor in change.tensors()]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_is_the_negative_logarithm_of_edit_success(arch):
    editor, batch = Editor(arch), random_batch(edits=3)
    made = editor.edit(batch)
    losses = outer_losses(editor.halves, as_leaves(made), batch, OPTIONS).edit
    for number in range(len(batch)):
        alone = one_record(batch, number)
        with torch.no_grad(), applied(editor.model, made.rows(torch.full((len(alone.outer),), number))):
            after = logits(editor.model, alone.outer)
        success = edit_success(
            logits(editor.model, alone.outer), after, alone.outer.labels(), alone.outer.answer_mask, alone.same_mask
        )
        torch.testing.assert_close(losses[number], -success.es.log().squeeze(), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_one_whole_pass():
    editor, batch = Editor(), random_batch(edits=3)
    whole, total = as_leaves(editor.edit(batch)), torch.zeros(())
    for number in range(len(batch)):
        alone = one_record(batch, number)
        with applied(editor.model, whole.rows(torch.full((len(alone.outer),), number))):
            after = logits(editor.model, alone.outer)
        with torch.no_grad():
            before = logits(editor.model, alone.outer)
        labels, mask, same = alone.outer.labels(), alone.outer.answer_mask, alone.same_mask
        total = total - edit_success(before, after, labels, mask, same).es.log().squeeze() / len(batch)
    total.backward()
    for chunk_tokens in CHUNKS:
        chunked = as_leaves(editor.edit(batch))
        losses = outer_losses(editor.halves, chunked, batch, replace(OPTIONS, chunk_tokens=chunk_tokens), backward=True)
        torch.testing.assert_close(losses.edit.mean(), total.detach(), rtol=1e-4, atol=1e-5)
        for found, expected in zip(gradients(chunked), gradients(whole), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_a_record_without_opinions_of_others_counts_nothing():
    editor, batch = Editor(), random_batch(edits=2)
    batch.same_mask[batch.outer_record == 0] = True
    losses = outer_losses(editor.halves, as_leaves(editor.edit(batch)), batch, OPTIONS, backward=True)
    assert losses.edit[0] == 0 < losses.edit[1]
