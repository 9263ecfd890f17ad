"""Effects of edits, measured in chunks, equal those read off whole logits."""

import pytest
import torch

from editors.measure import edit_effect, edit_shift, effect_loss
from editors.outer import OuterOptions, outer_losses
from interventions.applied import applied
from tests.unit.editors.batches import random_batch
from tests.unit.editors.test_outer import Editor


def logits(model, tokens):
    return model(tokens.input_ids, tokens.attention_mask, tokens.position_ids(), use_cache=False).logits


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("most_tokens", [1, 30, 10_000])
def test_equals_whole_logits(side, most_tokens):
    editor, batch = Editor(), random_batch(edits=3, side=side)
    batch.scored[4] = False
    edit = editor.edit(batch).detach()
    effect = edit_effect(editor.halves, edit, batch, most_tokens)
    with torch.no_grad():
        before = logits(editor.model, batch.outer), logits(editor.model, batch.locality)
        with applied(editor.model, edit.rows(batch.outer_record.tolist())):
            after_outer = logits(editor.model, batch.outer)
        with applied(editor.model, edit.rows(batch.locality_record.tolist())):
            after_locality = logits(editor.model, batch.locality)
    mask = batch.outer.answer_mask & batch.scored[:, None]
    assert torch.equal(effect.scored, mask)
    for got, values in ((effect.before, before[0]), (effect.after, after_outer)):
        chosen = values[:, :-1].log_softmax(-1).gather(-1, batch.outer.input_ids[:, 1:, None]).squeeze(-1)
        torch.testing.assert_close(got[:, 1:], torch.where(mask[:, 1:], chosen, 0.0), rtol=1e-4, atol=1e-5)
    p, q = before[1].log_softmax(-1), after_locality.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    torch.testing.assert_close(effect.moved, torch.where(effect.compared, kl, 0.0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("objective", ["likelihood", "edit_success"])
def test_the_loss_is_that_of_training_on_answers(objective):
    editor, batch = Editor(), random_batch(edits=3)
    batch.scored[(batch.outer_record == 1) & ~batch.same_mask] = False
    edit = editor.edit(batch).detach()
    options = OuterOptions(cloc=0.0, objective=objective)
    got = effect_loss(edit_effect(editor.halves, edit, batch, 100), batch, options)
    want = outer_losses(editor.halves, edit, batch, options)
    torch.testing.assert_close(got, options.cedit * want.edit)
    torch.testing.assert_close(got.mean(), want.total)


def test_an_edit_of_strength_zero_shifts_nothing_and_a_wild_one_much():
    editor, batch = Editor(), random_batch(edits=2, edit_rows=2)
    edit = editor.edit(batch).detach()
    assert edit_shift(editor.halves, edit.scaled(0.0), batch.edit, 100).abs().max() == 0
    mild, wild = (edit_shift(editor.halves, edit.scaled(s), batch.edit, 100) for s in (1.0, 1e4))
    assert (mild < wild).all()
