"""Low-rank edits equal edited weights, for any layout of edits over batch rows, and leave the model as it is."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from files.errors import InputError
from interventions.applied import applied
from interventions.weights import LowRank, LowRankEdit
from lm.sites import is_conv1d, linear_widths, sites_of
from tests.models import ARCHITECTURES, random_model

IDS = torch.randint(6, 272, (6, 9), generator=torch.Generator().manual_seed(0))


def random_edit(model, edits=3, rank=4, seed=0, layers=(0, 1)):
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in layers:
        for path, module in sites_of(model).editable_weights(layer).values():
            x_dim, out = linear_widths(module)
            u = torch.randn(edits, rank, x_dim, generator=generator)
            v = torch.randn(edits, rank, out, generator=generator)
            weights[path] = LowRank(u, v, torch.tensor(0.02))
    return LowRankEdit(weights)


def plainly_edited(model, edit, number):
    """A copy of the model with the change added to its weights."""
    edited = copy.deepcopy(model)
    with torch.no_grad():
        for path, change in edit.weights.items():
            module = edited.get_submodule(path)
            delta = change.delta(number)
            module.weight += delta.T if is_conv1d(module) else delta
    return edited


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_equals_edited_weights(arch):
    model = random_model(arch)
    edit = random_edit(model)
    assignment = [2, 0, 0, 1, 2, 2]
    with torch.no_grad():
        base = model(IDS).logits
        with applied(model, edit.rows(assignment)):
            got = model(IDS).logits
        for row, number in enumerate(assignment):
            want = plainly_edited(model, edit, number)(IDS[row : row + 1]).logits
            torch.testing.assert_close(got[row : row + 1], want, rtol=1e-4, atol=1e-4)
        assert torch.equal(model(IDS).logits, base)


@pytest.mark.parametrize("assignment", [[0, 0, 1, 1, 2, 2], [0, 1, 2, 2, 1, 0], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1]])
def test_every_layout_gives_each_row_its_edit(assignment):
    model = random_model()
    edit = random_edit(model)
    with torch.no_grad():
        with applied(model, edit.rows(assignment)):
            together = model(IDS).logits
        for row, number in enumerate(assignment):
            with applied(model, edit.only(number)):
                alone = model(IDS[row : row + 1]).logits
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_a_row_per_edit_and_rows_of_rows():
    model, edit = random_model(), random_edit(random_model(), edits=6)
    with torch.no_grad(), applied(model, edit):
        want = model(IDS).logits
    chosen = edit.rows([5, 4, 3, 2, 1, 0]).rows([1, 0])
    assert chosen.assignment == [4, 5]
    with torch.no_grad(), applied(model, chosen):
        torch.testing.assert_close(model(IDS[[4, 5]]).logits, want[[4, 5]], rtol=1e-4, atol=1e-5)


def test_layers_that_see_flattened_tokens():
    layer = torch.nn.Linear(4, 3)
    change = LowRank(torch.randn(2, 5, 4), torch.randn(2, 5, 3), 0.5)
    x = torch.randn(4, 7, 4)
    edit = LowRankEdit({"0": change}).rows([0, 1, 1, 0])
    model = torch.nn.Sequential(layer)
    with applied(model, edit):
        torch.testing.assert_close(model(x.flatten(0, 1)), model(x).flatten(0, 1))


def test_edits_on_top_of_each_other():
    model = random_model()
    first, second = random_edit(model), random_edit(model, rank=2, seed=1, layers=(1,))
    both = first.stack(second)
    for number in range(3):
        want = plainly_edited(plainly_edited(model, first, number), second, number)
        with torch.no_grad(), applied(model, both.only(number)):
            torch.testing.assert_close(model(IDS).logits, want(IDS).logits, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="laid out alike"):
        first.stack(second.only(0))


def test_strength():
    model, edit = random_model(), random_edit(random_model(), edits=1)
    with torch.no_grad():
        base = model(IDS).logits
        with applied(model, edit.scaled(0.0)):
            assert torch.equal(model(IDS).logits, base)
        with applied(model, edit.scaled(0.5)):
            half = model(IDS).logits
        with applied(model, edit, edit.scaled(-0.5)):
            torch.testing.assert_close(model(IDS).logits, half, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["llama", "gpt2", "phi3"])
def test_plain_weights_are_saved_and_loaded_by_plain_transformers(arch, tmp_path):
    model, edit = random_model(arch), random_edit(random_model(arch), edits=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    edit.only(1).materialize(model).save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad(), applied(model, edit.only(1)):
        torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="holds 2"):
        edit.materialize(model)


def test_an_adapter_goes_into_the_plain_weights(tmp_path):
    base = random_model()
    model = get_peft_model(base, LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear")).eval()
    edit = random_edit(model, edits=1)
    kept = edit.materialize(model)
    assert type(kept) is type(base)
    kept.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad(), applied(model, edit):
        torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_a_quantised_weight_is_refused():
    model, edit = random_model(), random_edit(random_model(), edits=1)
    path = next(iter(edit.weights))
    layer = model.get_submodule(path)
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(InputError, match="quantised"):
        edit.materialize(model)


def test_half_precision_models_take_float32_edits():
    model, edit = random_model().bfloat16(), random_edit(random_model(), edits=1)
    with torch.no_grad(), applied(model, edit):
        assert model(IDS).logits.dtype == torch.bfloat16


def test_generation_row_by_row_equals_generation_alone():
    model, edit = random_model(), random_edit(random_model(), edits=6)
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(IDS)}
    with applied(model, edit):
        together = model.generate(IDS, **options)
    for row in range(6):
        plain = edit.only(row).materialize(model)
        alone = plain.generate(IDS[row : row + 1], **{**options, "attention_mask": torch.ones(1, IDS.shape[1]).long()})
        assert torch.equal(together[row : row + 1, : alone.shape[1]], alone)


def test_a_batch_of_another_size_is_refused():
    model, edit = random_model(), random_edit(random_model(), edits=3)
    with pytest.raises(ValueError, match="laid out for 3 batch rows but the batch has 6"), applied(model, edit):
        model(IDS)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(E, K, in\)"):
        LowRank(torch.zeros(1, 2, 3), torch.zeros(1, 3, 3))
    with pytest.raises(ValueError, match="same number of edits"):
        LowRankEdit({})
    with pytest.raises(ValueError, match="from 0 to 0 but got 1"):
        LowRankEdit({"a": LowRank(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))}, [1])


def test_an_edit_without_any_row_changes_nothing():
    model, edit = random_model(), random_edit(random_model(), edits=1, rank=0)
    with torch.no_grad():
        base = model(IDS).logits
        with applied(model, edit):
            assert torch.equal(model(IDS).logits, base)
