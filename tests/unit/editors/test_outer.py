"""Many edits in one batch, in chunks of any size, give what one edit at a time gives with full weights."""

import pytest
import torch
from torch.func import functional_call

from editors.factors import edit_factors
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.outer import OuterOptions, outer_losses
from editors.selection import select_weights
from editors.training import as_leaves, carried_back
from interventions.applied import applied
from lm.sites import is_conv1d, sites_of
from losses.edit import drawdown_loss, inner_edit_loss, personality_loss
from tests.models import ARCHITECTURES, random_model
from tests.unit.editors.batches import one_record, random_batch


class Editor:
    def __init__(self, arch="llama", layers=3, last=2, **options):
        self.model = random_model(arch, layers).requires_grad_(False)
        sites = sites_of(self.model)
        self.weights = select_weights(sites, last=last)
        self.halves = ModelHalves(self.model, [sites.block(k) for k in range(sites.num_layers)], self.weights.first)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = Hypernetwork(self.weights.shapes(), -0.003, TransformOptions(rank=6, clip=None, **options))
            for parameter in self.network.parameters():
                torch.nn.init.normal_(parameter, std=0.02) if parameter.dim() > 1 else None
        # statistics to begin with, so that a batch and its records alone are normalised alike
        self.edit(random_batch(seed=99))
        self.network.eval()

    def edit(self, batch, counted="answer"):
        factors, _ = edit_factors(self.halves, batch.edit, len(batch), self.weights.modules, counted)
        return self.network(factors)

    def gradients(self, batch, options):
        self.network.zero_grad()
        edit = self.edit(batch, options.counted)
        leaves = as_leaves(edit)
        losses = outer_losses(self.halves, leaves, batch, options, backward=True)
        carried_back(edit, leaves).backward()
        return losses, [None if p.grad is None else p.grad.clone() for p in self.network.parameters()]


def full_weight_losses(editor, batch, options):
    """Losses of one record by another road: a full-size change of each weight, whole forwards, whole logits."""
    edit, model = editor.edit(batch, options.counted), editor.model
    changed = {}
    for path, change in edit.weights.items():
        delta, module = change.delta(), model.get_submodule(path)
        changed[f"{path}.weight"] = module.weight + (delta.T if is_conv1d(module) else delta)

    def logits(tokens, weights):
        inputs = {
            "input_ids": tokens.input_ids,
            "attention_mask": tokens.attention_mask,
            "position_ids": tokens.position_ids(),
        }
        return functional_call(model, weights, (), inputs).logits

    labels = batch.outer.labels()
    if options.counted == "answer":
        labels = labels.masked_fill(~batch.outer.answer_mask, -100)
    edit_loss = personality_loss(logits(batch.outer, changed), labels, batch.same_mask).nll
    mask = batch.locality.answer_mask
    if options.counted == "answer":
        mask = mask | torch.nn.functional.pad(mask[:, 1:], (0, 1))
    locality = drawdown_loss(logits(batch.locality, {}), logits(batch.locality, changed), mask)
    return edit_loss, locality


@pytest.mark.parametrize("counted", ["answer", "all"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_equals_full_weights_one_record_at_a_time(arch, counted):
    editor, batch = Editor(arch), random_batch(edits=3)
    options = OuterOptions(counted=counted, chunk_tokens=40)
    losses, gradients = editor.gradients(batch, options)
    editor.network.zero_grad()
    for record in range(3):
        edit_loss, locality = full_weight_losses(editor, one_record(batch, record), options)
        torch.testing.assert_close(losses.edit[record], edit_loss)
        torch.testing.assert_close(losses.locality[record], locality, rtol=1e-4, atol=1e-6)
        ((options.cedit * edit_loss + options.cloc * locality) / 3).backward()
    for (name, parameter), got in zip(editor.network.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-3, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("side", ["left", "right"])
def test_chunks_do_not_matter(side):
    editor, batch = Editor(), random_batch(edits=3, side=side)
    want, want_gradients = editor.gradients(batch, OuterOptions(chunk_tokens=10_000))
    for chunk_tokens in (1, 25, 60):
        got, gradients = editor.gradients(batch, OuterOptions(chunk_tokens=chunk_tokens))
        torch.testing.assert_close(got.total, want.total)
        torch.testing.assert_close(gradients, want_gradients, rtol=1e-4, atol=1e-7)


def test_several_texts_of_one_edit():
    editor, batch = Editor(), random_batch(edits=2, edit_rows=3)
    joint = editor.edit(batch)
    for record in range(2):
        alone = editor.edit(one_record(batch, record))
        for path, change in joint.weights.items():
            torch.testing.assert_close(change.delta(record), alone.weights[path].delta(), rtol=1e-4, atol=1e-6)


def test_factors_are_the_gradient_of_the_weights():
    editor, batch = Editor(), random_batch(edits=1)
    factors, loss = edit_factors(editor.halves, batch.edit, 1, editor.weights.modules, "all")
    editor.model.requires_grad_(True)
    tokens = batch.edit
    logits = editor.model(tokens.input_ids, tokens.attention_mask, tokens.position_ids()).logits
    want = inner_edit_loss(logits, tokens.labels()).nll
    torch.testing.assert_close(loss.squeeze(), want)
    weights = {path: module.weight for path, module in editor.weights.modules.items()}
    for path, gradient in zip(weights, torch.autograd.grad(want, list(weights.values())), strict=True):
        torch.testing.assert_close(factors[path].v[0].T @ factors[path].u[0], gradient, rtol=1e-4, atol=1e-6)


def test_an_edit_on_top_of_another_is_made_on_the_edited_model():
    editor, first, second = Editor(), random_batch(edits=1, seed=1), random_batch(edits=1, seed=2)
    before = editor.edit(first)
    with applied(editor.model, before):
        on_top = editor.edit(second)
    plain = before.detach().materialize(editor.model)
    sites = sites_of(plain)
    halves = ModelHalves(plain, [sites.block(k) for k in range(sites.num_layers)], editor.weights.first)
    modules = {path: sites.module(path) for path in editor.weights.modules}
    factors, _ = edit_factors(halves, second.edit, 1, modules, "answer")
    for path, change in editor.network(factors).weights.items():
        torch.testing.assert_close(on_top.weights[path].delta(), change.delta(), rtol=1e-3, atol=1e-5)


def test_rows_that_are_not_scored_do_not_count():
    editor, batch = Editor(), random_batch(edits=2)
    batch.scored[:3] = False
    got, _ = editor.gradients(batch, OuterOptions())
    kept = batch.scored
    batch.outer, batch.outer_record = batch.outer.rows(kept), batch.outer_record[kept]
    batch.same_mask, batch.scored = batch.same_mask[kept], batch.scored[kept]
    want, _ = editor.gradients(batch, OuterOptions())
    torch.testing.assert_close(got.edit, want.edit)


def test_a_record_without_rows_counts_nothing_and_spoils_nothing():
    editor, batch = Editor(), random_batch(edits=2)
    batch.scored[batch.outer_record == 1] = False
    batch.locality.answer_mask[batch.locality_record == 1] = False
    losses, gradients = editor.gradients(batch, OuterOptions())
    assert losses.edit[1] == 0 and losses.locality[1] == 0
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("variant", ["one_sided", "x_only", "delta_only", "neither"])
def test_variants_of_the_transform_learn(variant):
    options = {} if variant == "neither" else {variant: True}
    editor = Editor(combine=False, **options)
    _, gradients = editor.gradients(random_batch(), OuterOptions())
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_transforms_of_their_own_have_no_modes():
    editor = Editor(shared=False)
    assert len(editor.network.transforms) == len(editor.weights.modules)
    assert not any("mode_" in name for name, _ in editor.network.named_parameters())
    editor.gradients(random_batch(), OuterOptions())


def test_an_untrained_network_says_so():
    editor = Editor()
    fresh = Hypernetwork(editor.weights.shapes(), -0.003).eval()
    factors, _ = edit_factors(editor.halves, random_batch().edit, 2, editor.weights.modules, "answer")
    with pytest.raises(ValueError, match="at least 2 rows"):
        fresh(factors)
