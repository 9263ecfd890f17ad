"""Bundles come back as they were, and act on the model they were made for and on no other."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from files.errors import InputError
from interventions.bundle import Bundle, facts_of, load_bundle, read_header, save_bundle, stack_bundles
from interventions.places import places_of
from interventions.weights import LowRank, LowRankEdit
from tests.models import random_model
from tests.unit.interventions.steered import KINDS, batch, limited, logits, numbers, shift_heads, texts

PERSONAS = ("anna", "Björn", "carla")
GIVEN = batch(texts(), "left")


def weight_edit(people=3, rank=2):
    change = LowRank(numbers(people, rank, 48, scale=0.1), numbers(people, rank, 32, scale=0.1), 0.5)
    return LowRankEdit({"model.layers.1.mlp.down_proj": change})


def bundle_of(model, intervention, personas=PERSONAS, method="pas"):
    return Bundle(intervention, method, personas, facts_of(model), {"heads": 24, "note": "naïve"})


@pytest.mark.parametrize("kind", [*KINDS, "weights"])
def test_round_trip(kind, tmp_path):
    model = random_model()
    found = places_of(model)
    intervention = weight_edit() if kind == "weights" else 0.7 * KINDS[kind](found)
    if kind == "combined":
        intervention = intervention + weight_edit()
    path = save_bundle(tmp_path / "people.safetensors", bundle_of(model, intervention))
    loaded = load_bundle(path, random_model())
    assert (loaded.method, loaded.personas) == ("pas", PERSONAS)
    assert loaded.details == {"heads": 24, "note": "naïve"}
    torch.testing.assert_close(logits(model, GIVEN, loaded.intervention), logits(model, GIVEN, intervention))
    counts = GIVEN["attention_mask"].sum(1).tolist()
    one = loaded.only("carla")
    alone = logits(model, GIVEN, one.intervention.rows([0] * 3)).split(counts)[2]
    torch.testing.assert_close(alone, logits(model, GIVEN, intervention).split(counts)[2], rtol=1e-4, atol=1e-5)


def test_the_header_tells_what_it_is(tmp_path):
    model = random_model()
    bundle = bundle_of(model, shift_heads(places_of(model)).scaled(torch.tensor([1.0, 2.5, 0.0])))
    header = read_header(save_bundle(tmp_path / "a.safetensors", bundle))
    assert header["method"] == "pas" and header["personas"] == list(PERSONAS)
    assert header["layers"] == [0, 1] and header["strength"] == [1.0, 2.5, 0.0]
    assert header["model"]["architecture"] == "llama" and len(header["model"]["hash"]) == 64
    inner = read_header(save_bundle(tmp_path / "b.safetensors", bundle_of(model, limited(places_of(model)))))
    assert inner["layers"] == [0, 1] and inner["intervention"]["parts"][0]["positions"] == "last"


@pytest.mark.parametrize("kind", ["shift_heads", "limited", "clamp_neurons", "weights"])
def test_stacked(kind, tmp_path):
    model = random_model()
    whole = bundle_of(model, weight_edit() if kind == "weights" else KINDS[kind](places_of(model)))
    apart = []
    for name in PERSONAS:
        apart.append(load_bundle(save_bundle(tmp_path / f"{name}.safetensors", whole.only(name)), model))
    stacked = load_bundle(save_bundle(tmp_path / "all.safetensors", stack_bundles(apart)), model)
    assert stacked.personas == PERSONAS
    torch.testing.assert_close(logits(model, GIVEN, stacked.intervention), logits(model, GIVEN, whole.intervention))


def test_what_does_not_belong_together_is_not_stacked():
    model = random_model()
    found = places_of(model)
    one = bundle_of(model, shift_heads(found))
    with pytest.raises(InputError, match="different methods"):
        stack_bundles([one, replace(one, method="repe")])
    with pytest.raises(ValueError, match="different names"):
        stack_bundles([one, one])
    with pytest.raises(ValueError, match="of one make"):
        stack_bundles([one, bundle_of(model, weight_edit(1), ("dora",))])
    with pytest.raises(InputError, match="other weights"):
        stack_bundles([one, replace(one, model=facts_of(random_model(seed=1)))])
    with pytest.raises(ValueError, match="each of 3"):
        bundle_of(model, shift_heads(found), ("anna",))
    with pytest.raises(InputError, match="no such persona"):
        one.only("dora")


def test_a_bundle_of_another_model_is_refused_by_what_differs(tmp_path):
    model = random_model()
    path = save_bundle(tmp_path / "a.safetensors", bundle_of(model, shift_heads(places_of(model))))
    with pytest.raises(InputError, match=r"differs in layers\)(.|\n)*expected: layers 2(.|\n)*layers 3"):
        load_bundle(path, random_model(layers=3))
    with pytest.raises(InputError, match="differs in architecture"):
        load_bundle(path, random_model("qwen2"))
    other = random_model(seed=1)
    with pytest.raises(InputError, match="other weights"):
        load_bundle(path, other)
    assert load_bundle(path, other, other_weights=True).personas == PERSONAS
    with pytest.raises(InputError, match="differs in layers"):
        load_bundle(path, random_model(layers=3), other_weights=True)
    assert load_bundle(path, random_model().bfloat16()).personas == PERSONAS


def edited_header(path, change):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["oceantune"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    change(header, tensors)
    save_file(tensors, path, {"oceantune": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, _: header.update(format=2), "unknown format"),
        (lambda header, _: header.pop("model"), "model"),
        (lambda header, _: header["model"].update(heads="4"), "heads"),
        (lambda header, _: header["intervention"].update(kind="magic"), "unknown kind"),
        (lambda header, _: header["intervention"].update(layers=[0, 7]), "missing"),
        (lambda header, _: header["intervention"].update(layers=[[0]]), "missing"),
        (lambda header, _: header["intervention"].update(strength=["a"]), "damaged header"),
        (lambda header, _: header["intervention"].update(strength=[1.0, 2.0]), "damaged header"),
        (lambda header, _: header.update(personas=["anna"]), "each of 3"),
        (lambda _, tensors: tensors.pop("0.1"), "missing"),
        (lambda _, tensors: tensors.update({"0.1": torch.zeros(3, 1, 7)}), "do not fit the model"),
        (lambda _, tensors: tensors.update({"0.1": torch.zeros(3, 1, 64).int()}), "floating-point"),
        (lambda header, _: header.update(intervention={"kind": "combined", "parts": [3]}), "damaged header"),
        (
            lambda header, _: header.update(
                intervention={"kind": "limited", "part": header["intervention"], "phase": "now"}
            ),
            "no such choice",
        ),
        (lambda header, _: header.update(intervention={"kind": "limited", "part": {}}), "is empty"),
    ],
)
def test_damaged_bundles_are_refused(change, message, tmp_path):
    model = random_model()
    path = save_bundle(tmp_path / "a.safetensors", bundle_of(model, shift_heads(places_of(model))))
    edited_header(path, change)
    with pytest.raises(InputError, match=message):
        load_bundle(path, model)


def test_files_that_are_no_bundles(tmp_path):
    model = random_model()
    path = save_bundle(tmp_path / "a.safetensors", bundle_of(model, shift_heads(places_of(model))))
    content = path.read_bytes()
    for name, data in (("cut", content[:-10]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="cannot be read"):
            load_bundle(tmp_path / name, model)
    with pytest.raises(InputError, match="no such file"):
        load_bundle(tmp_path / "nowhere", model)
    save_file({"a": torch.zeros(1)}, tmp_path / "plain")
    with pytest.raises(InputError, match="no bundle"):
        read_header(tmp_path / "plain")
    with pytest.raises(TypeError, match="cannot hold"):
        from tests.unit.interventions.test_applied import Shift

        save_bundle(path, bundle_of(model, Shift("model.layers.0", "output", 1.0)))
