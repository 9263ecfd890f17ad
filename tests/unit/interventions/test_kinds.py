"""Each kind of intervention against arithmetic on the recorded activations."""

import math

import pytest
import torch

from files.errors import InputError
from interventions.applied import Combined, Intervention, applied
from interventions.heads import ShiftHeads, head_sites, stacked_heads
from interventions.neurons import AddNeurons, ClampNeurons, ScaleNeurons
from interventions.places import places_of
from interventions.recorded import recorded
from interventions.residual import AddDirection
from interventions.weights import LowRank, LowRankEdit
from tests.models import random_model
from tests.unit.interventions.steered import (
    KINDS,
    add_neurons,
    batch,
    clamp_neurons,
    combined,
    logits,
    numbers,
    scale_neurons,
    shift_heads,
    texts,
)

GIVEN = batch(texts(), "left")


def seen(model, site, *interventions):
    """Activations at a site (tokens, W)."""
    with torch.no_grad(), applied(model, *interventions), recorded(model, [site], "all") as recording:
        model(**GIVEN)
    return recording[site]


def test_heads_are_shifted_where_the_recording_finds_them():
    model = random_model()
    found = places_of(model)
    sites = found.sites
    vectors = torch.zeros(3, sites.num_heads, sites.head_dim)
    vectors[:, 2] = numbers(3, sites.head_dim)
    shift = ShiftHeads(found, {0: vectors})
    with torch.no_grad(), recorded(model, head_sites(found), "mean") as plain:
        model(**GIVEN)
    with torch.no_grad(), applied(model, shift), recorded(model, head_sites(found), "mean") as shifted:
        model(**GIVEN)
    before, after = stacked_heads(plain, found), stacked_heads(shifted, found)
    assert before.shape == (3, sites.num_layers, sites.num_heads, sites.head_dim)
    torch.testing.assert_close(after[:, 0], before[:, 0] + vectors)
    assert not torch.equal(after[:, 1], before[:, 1])


def test_sparse_heads():
    found = places_of(random_model())
    heads = torch.tensor([[[1, 3], [0, 0]], [[0, 2], [0, 1]]])
    vectors = numbers(2, 2, found.sites.head_dim)
    shift = ShiftHeads.sparse(found, heads, vectors, strength=torch.tensor([1.0, 2.0]))
    table = {layer: rows.unflatten(-1, (found.sites.num_heads, -1))[:, 0] for layer, rows in shift.tables.items()}
    assert torch.equal(table[1][0, 3], vectors[0, 0]) and torch.equal(table[0][1, 1], vectors[1, 1])
    assert not table[1][1].any() and not table[0][0, 1:].any()
    assert shift.strength.tolist() == [1.0, 2.0]
    for wrong in (torch.tensor([[[0, 4], [0, 0]]] * 2), torch.tensor([[[2, 0], [0, 0]]] * 2)):
        with pytest.raises(InputError, match="no such"):
            ShiftHeads.sparse(found, wrong, vectors)
    with pytest.raises(InputError, match="do not fit"):
        ShiftHeads.sparse(found, heads, vectors[..., :3])


@pytest.mark.parametrize("arch", ["llama", "phi3", "gpt2"])
@pytest.mark.parametrize("at", ["gate", "down"])
def test_neurons(arch, at):
    model = random_model(arch)
    found = places_of(model)
    width = found.sites.mlp_width
    site = found.neurons(1, at)
    row = numbers(1, width)
    base = seen(model, site)
    for intervention, want in (
        (AddNeurons(found, {1: row}, at), lambda x: x + row),
        (ScaleNeurons(found, {1: row}, at), lambda x: x * row),
        (0.25 * ScaleNeurons(found, {1: row}, at), lambda x: x * (1 + 0.25 * (row - 1))),
        (ClampNeurons(found, upper={1: row}, at=at), lambda x: torch.minimum(x, row)),
        (ClampNeurons(found, lower={1: row}, at=at), lambda x: torch.maximum(x, row)),
        (0.5 * ClampNeurons(found, upper={1: row}, at=at), lambda x: (x + torch.minimum(x, row)) / 2),
    ):
        for got, before in zip(seen(model, site, intervention), base, strict=True):
            torch.testing.assert_close(got, want(before))


def test_directions_are_added_to_block_outputs():
    model = random_model("gptj")  # its blocks give tuples
    found = places_of(model)
    direction = numbers(found.sites.hidden_size)
    site = found.block(0)
    shifted = seen(model, site, -AddDirection(found, {0: direction}, 0.5))
    for got, before in zip(shifted, seen(model, site), strict=True):
        torch.testing.assert_close(got, before - 0.5 * direction)


def test_full_strength_is_exact_and_no_strength_leaves_even_odd_numbers_alone():
    found = places_of(random_model())
    width = found.sites.mlp_width
    odd = torch.zeros(1, 4, width)
    odd[0, :, 0] = torch.tensor([-0.0, math.inf, -math.inf, 1e-45])
    for kind, values in ((AddNeurons, math.nan), (ScaleNeurons, math.inf)):
        intervention = kind(found, {0: torch.full((1, width), values)}, strength=0.0)
        assert torch.equal(intervention.edit(intervention.sites[0], odd, odd).view(torch.int32), odd.view(torch.int32))
    clamp = ClampNeurons(found, upper={0: torch.zeros(1, width)})
    none = (0.0 * clamp).edit(clamp.sites[0], odd, odd)
    assert torch.equal(none.view(torch.int32), odd.view(torch.int32))
    assert clamp.edit(clamp.sites[0], odd, odd)[0, :, 0].tolist() == [0.0, 0.0, -math.inf, 0.0]
    bound = torch.full((1, width), 0.1)
    assert torch.equal(
        ClampNeurons(found, upper={0: bound}).edit(clamp.sites[0], bound[None] * 3, bound[None] * 3)[0], bound
    )


def test_strengths_per_persona_and_sweeps():
    model = random_model()
    found = places_of(model)
    three, one = shift_heads(found), shift_heads(found, people=1)
    base = logits(model, GIVEN)
    counts = GIVEN["attention_mask"].sum(1).tolist()
    mixed = logits(model, GIVEN, three.scaled(torch.tensor([0.0, 1.0, -2.0]))).split(counts)
    assert torch.equal(mixed[0], base.split(counts)[0])
    torch.testing.assert_close(mixed[2], logits(model, GIVEN, -(2 * three)).split(counts)[2])
    swept = one.scaled(torch.tensor([0.0, 0.5, 1.0]))
    assert len(swept) == 3
    for row, strength in enumerate((0.0, 0.5, 1.0)):
        torch.testing.assert_close(
            logits(model, GIVEN, swept).split(counts)[row], logits(model, GIVEN, one * strength).split(counts)[row]
        )
    with pytest.raises(ValueError, match="one for each of 3"):
        three.scaled(torch.ones(2))


def test_sums_act_in_order_and_scale_as_one():
    model = random_model()
    found = places_of(model)
    a, b, c = shift_heads(found), clamp_neurons(found), add_neurons(found)
    total = sum([a, b, c])
    assert isinstance(total, Combined) and len(total.parts) == 3
    assert torch.equal(logits(model, GIVEN, total), logits(model, GIVEN, a, b, c))
    torch.testing.assert_close(logits(model, GIVEN, 0.5 * total), logits(model, GIVEN, 0.5 * a, 0.5 * b, 0.5 * c))
    assert not torch.equal(logits(model, GIVEN, b + c), logits(model, GIVEN, c + b))
    torch.testing.assert_close(logits(model, GIVEN, a + -a), logits(model, GIVEN), rtol=1e-4, atol=1e-5)


def test_sums_with_weight_edits():
    model = random_model()
    path = "model.layers.1.mlp.down_proj"
    change = LowRank(numbers(3, 2, 48, scale=0.1), numbers(3, 2, 32, scale=0.1))
    edit, shift = LowRankEdit({path: change}), shift_heads(places_of(model))
    both = logits(model, GIVEN, edit + shift)
    assert torch.equal(both, logits(model, GIVEN, edit, shift))
    assert torch.equal(logits(model, GIVEN, 0.0 * (edit + shift)), logits(model, GIVEN))
    counts = GIVEN["attention_mask"].sum(1).tolist()
    swapped = (shift + edit).rows([2, 1, 0])
    alone = batch([texts()[0]], "left")
    torch.testing.assert_close(
        logits(model, GIVEN, swapped).split(counts)[0], logits(model, alone, (shift + edit).rows([2]))
    )


def test_rows_of_rows_and_personas_side_by_side():
    model = random_model()
    found = places_of(model)
    shift = shift_heads(found)
    assert torch.equal(
        logits(model, GIVEN, shift.rows([2, 1, 0, 1]).rows([0, 3, 2])), logits(model, GIVEN, shift.rows([2, 1, 0]))
    )
    other = ShiftHeads(found, {0: numbers(1, found.sites.num_heads, found.sites.head_dim, seed=9)}, strength=0.5)
    joined = shift.rows([1]).beside(other, shift.rows([0]))
    assert len(joined) == 3 and joined.strength.tolist() == [1.0, 0.5, 1.0]
    counts = GIVEN["attention_mask"].sum(1).tolist()
    got = logits(model, GIVEN, joined).split(counts)
    torch.testing.assert_close(got[0], logits(model, GIVEN, shift.rows([1] * 3)).split(counts)[0])
    torch.testing.assert_close(got[1], logits(model, GIVEN, other).split(counts)[1])
    with pytest.raises(ValueError, match="of one kind"):
        shift.beside(add_neurons(found))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_and_eager_attention(kind):
    model = random_model()
    intervention = KINDS[kind](places_of(model))
    want = logits(model, GIVEN, intervention)
    model.set_attn_implementation("eager")
    torch.testing.assert_close(logits(model, GIVEN, intervention), want, rtol=1e-4, atol=1e-4)
    model.bfloat16()
    got = logits(model, GIVEN, intervention)
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().mean() < 0.1 * (want - logits(random_model(), GIVEN)).abs().mean() + 0.05
    assert torch.equal(logits(model, GIVEN, 0.0 * intervention), logits(model, GIVEN))
    moved = intervention.to("cpu", torch.bfloat16)
    assert (logits(model, GIVEN, moved).float() - got.float()).abs().mean() < 0.1


def test_flattened_tokens():
    scale = scale_neurons(places_of(random_model()))
    site = scale.sites[0]
    hidden = numbers(3, 5, 48)
    flat = hidden.flatten(0, 1)
    assert torch.equal(scale.edit(site, flat, flat), scale.edit(site, hidden, hidden).flatten(0, 1))
    one = scale_neurons(places_of(random_model()), people=1)
    assert torch.equal(one.edit(site, flat, flat), one.edit(site, hidden, hidden).flatten(0, 1))


def test_gradients_reach_the_numbers():
    model = random_model().requires_grad_(False)
    found = places_of(model)
    vectors = numbers(1, found.sites.num_heads, found.sites.head_dim).requires_grad_()
    shift = ShiftHeads(found, {0: vectors})
    for _ in range(2):
        with applied(model, shift):
            model(**GIVEN).logits.sum().backward()
    assert vectors.grad is not None and vectors.grad.abs().sum() > 0


def test_compiled_models_are_steered():
    model = random_model()
    shift = shift_heads(places_of(model))
    want = logits(model, GIVEN, shift)
    base = logits(model, GIVEN)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        first = compiled(**GIVEN).logits[GIVEN["attention_mask"].bool()]
        with applied(model, shift):
            steered = compiled(**GIVEN).logits[GIVEN["attention_mask"].bool()]
        after = compiled(**GIVEN).logits[GIVEN["attention_mask"].bool()]
    torch.testing.assert_close(steered, want)
    torch.testing.assert_close(first, base)
    assert torch.equal(after, first)
    torch._dynamo.reset()


def test_adapted_models_are_steered():
    from lm.adapters import LoRASpec, with_adapter

    model = random_model()
    want = logits(model, GIVEN, combined(places_of(model)))
    adapted = with_adapter(model, LoRASpec(target_modules=["o_proj", "down_proj"]), seed=0).eval()
    got = logits(adapted, GIVEN, combined(places_of(adapted)))
    torch.testing.assert_close(got, want)


def test_wrong_numbers_are_refused():
    found = places_of(random_model())
    with pytest.raises(InputError, match="a row of 64 numbers"):
        ShiftHeads(found, {0: torch.zeros(2, 4, 8)})
    with pytest.raises(InputError, match="no such layer"):
        ShiftHeads(found, {2: torch.zeros(2, 64)})
    with pytest.raises(InputError, match="no such layer"):
        AddDirection(found, {-1: torch.zeros(32)})
    with pytest.raises(InputError, match="gate or down"):
        AddNeurons(found, {0: torch.zeros(1, 48)}, at="up")
    with pytest.raises(ValueError, match="one number of personas"):
        ShiftHeads(found, {0: torch.zeros(2, 64), 1: torch.zeros(3, 64)})
    with pytest.raises(ValueError, match="below the upper"):
        ClampNeurons(found, {0: torch.ones(1, 48)}, {0: torch.zeros(1, 48)})
    with pytest.raises(ValueError, match="laid out for 3 batch rows but the batch has 2"):
        logits(random_model(), batch(texts()[:2], "left"), shift_heads(found))
    with pytest.raises(ValueError, match="from 0 to 2"):
        shift_heads(found).rows([3])


def test_an_intervention_without_rows_or_strength_says_so():
    class Plain(Intervention):
        @property
        def sites(self):
            return []

        def edit(self, site, entering, leaving):
            return leaving

    for use in (lambda: Plain().rows([0]), lambda: 2 * Plain()):
        with pytest.raises(TypeError, match="Plain has no"):
            use()
    assert Plain().to("cpu") is not None
