"""Steering along directions: what each record gets, what is kept and read again, and what is refused."""

import json
from types import SimpleNamespace

import pytest
import torch

from callbacks.contrast_prompts import contrast_prompts, read_questions
from callbacks.random_directions import RandomDirections
from callbacks.repe import RepE
from callbacks.sae_steering import SAESteering
from files.errors import InputError
from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.autoencoder_files import write_autoencoder
from interventions.bundle import Bundle, facts_of, save_bundle
from interventions.places import places_of
from interventions.text_states import prompt_ends
from personas.contrasts import read_contrasts
from personas.persona import Persona
from personas.questions import Questions
from tests.models import byte_tokenizer, random_model
from tests.unit.interventions.steered import batch, logits, shift_heads, texts

PEOPLE = (
    Persona.trait("extraversion"),
    Persona.trait("neuroticism", -0.5),
    Persona("both", {"extraversion": 1.0, "neuroticism": 1.0}),
)
ASKED = SimpleNamespace(questions=Questions(("a", "b", "c"), (0, 1, 2), PEOPLE))
GIVEN = batch(texts(), "left")


def contrasts(folder):
    path = folder / "contrasts.json"
    sides = {"positive": ["You love crowds.", "You sing."], "negative": ["You hide.", "You are mute."]}
    path.write_text(json.dumps({"extraversion": sides, "neuroticism": {side: sides[side][::-1] for side in sides}}))
    (folder / "questions.json").write_text('{"question": "What now?"}\n{"question": "And then, what do you do?"}\n')
    return str(path)


def started(method, folder, model=None, **tokenizer):
    """The method, taking part in an evaluation."""
    evaluation = SimpleNamespace(lm=model or random_model(layers=4), tokenizer=byte_tokenizer())
    for name, value in tokenizer.items():
        setattr(evaluation.tokenizer, name, value)
    method.evaluation, method.folder = evaluation, folder
    method.fit()
    return method


def repe(folder, **options):
    given = {"contrasts": contrasts(folder), "questions": str(folder / "questions.json"), "samples": 4}
    return RepE(**(given | options))


@pytest.mark.parametrize("estimate", ["pca", "mean_difference", "probe", "single_pair", "persona_vector"])
def test_each_estimate_gives_a_direction_for_each_set_and_layer(tmp_path, estimate):
    method = started(repe(tmp_path, estimate=estimate, max_new_tokens=4), tmp_path)
    assert method.names == ("extraversion", "neuroticism") and list(method.tables) == [1]
    table = method.tables[1]
    assert table.shape == (2, 32) and table.isfinite().all() and (table.norm(dim=-1) > 0).all()


def test_each_end_has_a_direction_of_its_own_where_it_is_compared_with_nothing(tmp_path):
    method = started(repe(tmp_path, against="nothing", where="prompt_end", strength=2.0), tmp_path)
    assert method.names == ("extraversion+", "extraversion-", "neuroticism+", "neuroticism-")
    # A row by hand: the mean difference between prompts with a text of the end and the questions alone.
    contrast = read_contrasts(tmp_path / "contrasts.json")["extraversion"]
    prompts = contrast_prompts(contrast, read_questions(str(tmp_path / "questions.json")), 4, "system", 0)
    alone = [chat[-1:] for chat in prompts.negative]
    low, plain = (
        prompt_ends(method.evaluation.lm, byte_tokenizer(), method.places, chats, [1], 4)
        for chats in (prompts.negative, alone)
    )
    torch.testing.assert_close(method.tables[1][1], (low - plain).mean(0)[0], rtol=1e-4, atol=1e-5)
    rows = method.intervene(ASKED).intervention.resolved().tables[1][:, 0]
    high, _, anxious, calm = method.tables[1]
    torch.testing.assert_close(rows, torch.stack([high, 0.5 * calm, high + anxious]))
    facet, other = Persona.trait("gregariousness", -0.5), Persona.trait("openness")
    assert method.level(facet, "extraversion-") == 0.5 and method.level(facet, "extraversion+") == 0
    assert method.refusal(facet) is None and method.refusal(other) is not None


@pytest.mark.parametrize("where", ["all", "last", "prompt_end", "prompt_but_last", "generated"])
def test_each_record_is_steered_by_its_own_levels(tmp_path, where):
    method = started(repe(tmp_path, layers=[0, 2], strength=0.5, where=where), tmp_path)
    edit = method.intervene(ASKED)
    rows = (edit if where == "all" else edit.intervention).resolved()
    first, second = method.tables[2]
    torch.testing.assert_close(rows.tables[2][:, 0], torch.stack([first, -0.5 * second, first + second]))
    assert rows.strength.tolist() == [0.5] * 3


def test_a_strength_of_zero_is_the_base_model_bit_for_bit(tmp_path):
    model = random_model(layers=4)
    for strength, same in ((0.0, True), (3.0, False)):
        method = started(repe(tmp_path, strength=strength), tmp_path / str(strength), model)
        assert torch.equal(logits(model, GIVEN, method.intervene(ASKED)), logits(model, GIVEN)) is same


@pytest.mark.parametrize("side", ["left", "right"])
def test_neither_padding_side_nor_batch_size_changes_a_direction(tmp_path, side):
    model = random_model(layers=4)
    one = started(repe(tmp_path, batch_size=1, estimate="pca"), None, model)
    other = started(repe(tmp_path, batch_size=7, estimate="pca"), None, model, padding_side=side)
    torch.testing.assert_close(one.tables[1], other.tables[1], rtol=1e-3, atol=1e-5)


def test_what_was_learnt_is_kept_and_taken_again_only_for_the_same_recipe(tmp_path, monkeypatch):
    model = random_model(layers=4)
    first = started(repe(tmp_path), tmp_path, model)
    kept = tmp_path / "repe.safetensors"
    assert kept.is_file()
    again = repe(tmp_path)
    monkeypatch.setattr(again, "learn", lambda: pytest.fail("learnt again"))
    started(again, tmp_path, model)
    assert torch.equal(again.tables[1], first.tables[1]) and again.fitted == first.fitted
    from_bundle = started(RepE(bundle=str(kept)), None, model)
    assert torch.equal(from_bundle.tables[1], first.tables[1])
    other = started(repe(tmp_path, samples=1), tmp_path, model)
    assert not torch.equal(other.tables[1], first.tables[1])
    with pytest.raises(InputError, match="other weights"):
        started(RepE(bundle=str(kept)), None, random_model(layers=4, seed=5))


def test_coefficients_steer_every_record_and_facets_count_as_their_trait(tmp_path):
    method = started(repe(tmp_path, coefficients={"extraversion": 0.5, "neuroticism": -1}), tmp_path)
    nobody = SimpleNamespace(questions=Questions(("a",), (0,), (Persona("nobody"),)))
    first, second = method.tables[1]
    torch.testing.assert_close(method.intervene(nobody).tables[1][0, 0], 0.5 * first - second)
    assert method.refusal(Persona("nobody")) is None
    assert method.level(Persona.trait("gregariousness", -0.5), "extraversion") == -0.5
    plain = started(repe(tmp_path), tmp_path)
    assert "extraversion" in plain.refusal(Persona.trait("openness"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": float("nan")}, "strength"),
        ({"against": "anybody"}, "against"),
        ({"against": "nothing", "questions": None}, "against"),
        ({"strength": "much"}, "strength"),
        ({"layers": [9]}, "layers"),
        ({"names": ["joy"]}, "names"),
        ({"samples": 0}, "samples"),
        ({"coefficients": {"joy": 1.0}}, "coefficients"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        started(repe(tmp_path, **options), tmp_path)


def test_nan_activations_are_refused(tmp_path):
    model = random_model(layers=4)
    with torch.no_grad():
        model.get_input_embeddings().weight[5] = torch.nan
        model.get_input_embeddings().weight[4] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        started(repe(tmp_path), None, model)


def sae(folder, **options):
    network = SparseAutoencoder(AutoencoderForm("topk", 32, 64, k=8), torch.Generator().manual_seed(1))
    path = write_autoencoder(folder / "sae", network, 2)
    return network, SAESteering(autoencoder=str(path), **({"texts": 2, "count": 5} | options))


def test_features_are_found_written_and_read_again(tmp_path):
    network, method = sae(tmp_path, traits=["extraversion", "neuroticism"])
    started(method, tmp_path)
    found = json.loads((tmp_path / "features.json").read_text())
    assert list(found) == list(method.names) == ["extraversion", "neuroticism"] and list(method.tables) == [2]
    one = found["extraversion"][0]
    assert len(found["extraversion"]) == 5 and 0 <= one["auc"] <= 1 and len(one["examples"]) == 3
    expected = sum(feature["coefficient"] * network.decoder[feature["feature"]] for feature in found["extraversion"])
    torch.testing.assert_close(method.tables[2][0], expected.detach(), rtol=1e-4, atol=1e-6)
    _, again = sae(tmp_path, features=str(tmp_path / "features.json"))
    started(again, None)
    torch.testing.assert_close(again.tables[2], method.tables[2])


def test_features_of_each_end_are_found_at_the_end_of_prompts(tmp_path):
    given = {"contrasts": contrasts(tmp_path), "questions": str(tmp_path / "questions.json")}
    network, method = sae(tmp_path, traits=["extraversion"], texts=3, count=64, where="prompt_end", **given)
    started(method, tmp_path)
    assert method.names == ("extraversion+", "extraversion-")
    sets, questions = read_contrasts(given["contrasts"]), read_questions(given["questions"])
    prompts = contrast_prompts(sets["extraversion"], questions, 3, "system", 0)
    high, plain = (
        network.encode(prompt_ends(method.evaluation.lm, byte_tokenizer(), method.places, chats, [2], 4)[:, 0])
        for chats in (prompts.positive, prompts.plain())
    )
    # All features together give the difference of mean reconstructions.
    expected = (high.mean(0) - plain.mean(0)) @ network.decoder
    torch.testing.assert_close(method.tables[2][0], expected.detach(), rtol=1e-3, atol=1e-5)
    found = json.loads((tmp_path / "features.json").read_text())["extraversion-"]
    assert len(found) == 64 and found[0]["facet"] is None and found[0]["examples"][0] in ("You hide.", "You are mute.")
    _, again = sae(tmp_path, features=str(tmp_path / "features.json"))
    torch.testing.assert_close(started(again, None).tables[2], method.tables[2], rtol=1e-4, atol=1e-6)
    for changes, message in (({"questions": None}, "questions"), ({"traits": ["openness"]}, "traits")):
        with pytest.raises(InputError, match=message):
            started(sae(tmp_path, **(given | changes))[1], None)


def test_a_background_takes_the_features_of_the_pattern_file(tmp_path):
    details = {"Age": {"young": {"youth": 4, "boys": 7}}, "Gender": {"female": {"women": 9}}}
    path = tmp_path / "patterns.json"
    path.write_text(json.dumps([{"Layer": 2, "size": 64, "Details": details}]))
    network, method = sae(tmp_path, patterns=str(path), background={"Age": "young", "Gender": "other"}, strength=2.0)
    with pytest.warns(UserWarning, match="1 values without a feature"):
        started(method, tmp_path)
    torch.testing.assert_close(method.tables[2][0], (network.decoder[4] + network.decoder[7]).detach())
    assert method.fitted["skipped"] == 1
    rows = method.intervene(ASKED).intervention
    assert len(rows.tables[2]) == 3 and rows.strength.tolist() == [2.0] * 3
    path.write_text(json.dumps([{"Layer": 2, "size": 65, "Details": details}]))
    with pytest.raises(InputError, match="patterns"):
        started(sae(tmp_path, patterns=str(path), background={"Age": "young"})[1], None)
    path.write_text(json.dumps([{"Layer": 1, "size": 64, "Details": details}]))
    with pytest.raises(InputError, match="no such layer"):
        started(sae(tmp_path, patterns=str(path), background={"Age": "young"})[1], None)
    with pytest.raises(InputError, match="background"):
        started(sae(tmp_path, patterns=str(path), background={"Hair": "red"})[1], None)


def test_an_autoencoder_of_another_width_is_refused(tmp_path):
    network = SparseAutoencoder(AutoencoderForm("topk", 31, 64, k=8))
    path = write_autoencoder(tmp_path / "sae", network, 2)
    with pytest.raises(InputError, match="another width"):
        started(SAESteering(autoencoder=str(path)), None)


def test_the_control_is_as_long_and_points_elsewhere(tmp_path):
    method = started(repe(tmp_path, where="last"), tmp_path)
    control = RandomDirections(seed=3)
    control.control_of = method
    own, drawn = (one.intervene(ASKED).intervention.tables[1][:, 0] for one in (method, control))
    torch.testing.assert_close(own.norm(dim=-1), drawn.norm(dim=-1))
    assert (torch.cosine_similarity(own, drawn).abs() < 0.7).all()
    assert control.settings()["control_of"] == method.settings()
    who = (Persona.trait("extraversion"), Persona.trait("extraversion", -1.0), Persona.trait("extraversion"))
    names = tuple(f"{item}:{one.name}" for item, one in zip("001", who, strict=True))
    ends = SimpleNamespace(questions=Questions(names, (0, 1, 2), who))
    high, low, other = control.intervene(ends).intervention.tables[1][:, 0]
    torch.testing.assert_close(low, -high)  # an item's line is the same for both ends; another item has another one
    assert torch.cosine_similarity(high, other, dim=0).abs() < 0.7
    with pytest.raises(InputError, match="control of another one"):
        RandomDirections().on_test_start(SimpleNamespace(callbacks=[]), None)


def test_bundles_of_other_methods_are_refused(tmp_path):
    model = random_model(layers=4)
    heads = Bundle(shift_heads(places_of(model)), "pas", ("a", "b", "c"), facts_of(model))
    path = save_bundle(tmp_path / "heads.safetensors", heads)
    with pytest.raises(InputError, match="other than directions"):
        started(RepE(bundle=str(path)), None, model)
