"""NPTI as a method: search, files, mixtures of traits, its control, sums with others, and the report of movement."""

import json
from types import SimpleNamespace

import pytest
import torch

from callbacks.composed import Composed
from callbacks.movement import MovementReport
from callbacks.npti import NPTI
from callbacks.random_neurons import RandomNeurons
from files.errors import InputError
from interventions.limited import Limited
from interventions.neuron_files import read_neurons
from interventions.neuron_search import SearchOptions
from personas.persona import Persona
from personas.questions import Generation, QuestionBatch, Questions
from tests.editing import evaluate_edits, write_edit_data
from tests.models import byte_tokenizer, random_model
from tests.unit.interventions.steered import batch, logits, texts

TRAITS = ("extraversion", "agreeableness", "neuroticism")
ASKED = [{"question": "What do you do at a feast?"}, {"question": "Who are you?"}]
TOLD = [{f"{trait.title()}{end}": f"You are {trait}{end}." for trait in TRAITS for end in ("", "_reversed")}]
SMALL = {"traits": TRAITS, "minimum": 5, "threshold": 0.9, "search": SearchOptions(max_new_tokens=6, rows=4)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("npti")
    for trait in TRAITS:
        (root / f"{trait.title()}.json").write_text("".join(json.dumps(one) + "\n" for one in ASKED))
    (root / "told.json").write_text("".join(json.dumps(one) + "\n" for one in TOLD))
    return root


def options(folder, **more):
    return {"questions": str(folder), "descriptions": str(folder / "told.json"), **SMALL, **more}


def fitted(method):
    method.evaluation = SimpleNamespace(lm=random_model(), tokenizer=byte_tokenizer(), trained=None)
    method.fit()
    return method


def control_of(method, seed=0):
    control = RandomNeurons(seed)
    control.control_of = method
    return control


def asked(*personas):
    generations = tuple(
        Generation(record, "answer", [{"role": "user", "content": "Well?"}]) for record in range(len(personas))
    )
    ids = tuple(str(record) for record in range(len(personas)))
    return QuestionBatch(Questions(ids, tuple(range(len(personas))), personas, generations=generations))


def test_each_persona_gets_its_neurons_and_levels_mix(folder):
    method = fitted(NPTI(**options(folder, strength=2.0)))
    both = {"extraversion": 0.5, "neuroticism": -1.0}
    rows = method.induced([{"extraversion": 1.0}, {"neuroticism": -1.0}, both, {}])
    tables = torch.stack([rows.tables[layer] for layer in (0, 1)])  # (L, P, 2, W)
    one, other, mixed, nobody = (tables[:, row, 0] for row in range(4))
    assert rows.strength.tolist() == [2.0] * 4
    torch.testing.assert_close(mixed, 0.5 * one + other)
    assert not nobody.any() and tables[:, 3, 1].isposinf().all()
    assert torch.equal(tables[:, 2, 1], torch.minimum(tables[:, 0, 1], tables[:, 1, 1]))
    high, low = method.found["extraversion", 1], method.found["extraversion", -1]
    assert len(high) == len(low) == 5
    places_of_high, places_of_low = (sorted(side.table()[:, :2].long().tolist()) for side in (high, low))
    assert (tables[:, 0, 1] == 0).nonzero().tolist() == places_of_low
    assert all(place in places_of_high for place in one.nonzero().tolist())


def test_the_opposite_is_pulled_and_other_layers_are_left_alone_where_asked_for(folder):
    held, pulled = (fitted(NPTI(**options(folder, pull=pull))) for pull in (0.0, 0.5))
    high, low = (held.induced([{"neuroticism": level}]).tables for level in (2.0, -1.0))
    both = pulled.induced([{"neuroticism": 2.0}]).tables
    for layer in (0, 1):
        torch.testing.assert_close(both[layer][0, 0], high[layer][0, 0] - low[layer][0, 0])
        assert torch.equal(both[layer][:, 1], high[layer][:, 1])
    assert any(bool((table[0, 0] < 0).any()) for table in both.values())
    found = fitted(NPTI(**options(folder, minimum=40))).induced([{"neuroticism": 1.0}]).tables
    upper = fitted(NPTI(**options(folder, minimum=40, layers=[1]))).induced([{"neuroticism": 1.0}]).tables
    assert torch.equal(upper[1], found[1]) and found[0][0, 0].any()
    assert not upper[0][0, 0].any() and upper[0][0, 1].isposinf().all()


def test_a_batch_of_personas_is_steered_row_by_row_at_the_tokens_asked_for(folder):
    given = batch(texts(), "left")
    personas = (Persona.trait("extraversion"), Persona.trait("trust", -1), Persona.trait("extraversion"))
    for tokens, where in (("generated", "all"), ("answers", "last"), ("prompt_end", "last")):
        method = fitted(NPTI(**options(folder, tokens=tokens, strength=50.0)))
        intervention = method.intervene(asked(*personas))
        assert isinstance(intervention, Limited) and intervention.positions == where
        model = method.evaluation.lm
        changed = logits(model, given, intervention) != logits(model, given)
        counts = given["attention_mask"].sum(1).tolist()
        for row in changed.any(-1).split(counts):
            assert not row[:-1].any() and bool(row[-1]) == (tokens != "generated")
        assert torch.equal(logits(model, given, intervention.scaled(0.0)), logits(model, given))


def test_what_was_searched_for_is_written_and_read_again(tiny_lm_dir, folder, tmp_path):
    data = write_edit_data(tmp_path / "data")
    found = NPTI(**options(folder, strength=30.0, tokens="answers"))
    evaluate_edits(tiny_lm_dir, data, tmp_path / "a", [found, MovementReport(texts=4, max_new_tokens=4)])
    written = tmp_path / "a" / "npti"
    assert len(list(written.iterdir())) == 6
    again = read_neurons(written / "Neuroticism_reversed_dict.json", 2, 48)
    torch.testing.assert_close(again.table(), found.found["neuroticism", -1].table())
    read = NPTI(neurons=str(written), traits=TRAITS, strength=30.0, tokens="answers")
    control = RandomNeurons()
    control.baseline = True
    evaluate_edits(tiny_lm_dir, data, tmp_path / "b", [read, control])
    first, second = (
        {
            row["metric"]: row["value"]
            for row in json.loads((tmp_path / run / "results.json").read_text())
            if row["method"] == "npti"
        }
        for run in "ab"
    )
    assert second["drawdown"] == pytest.approx(first["drawdown"], rel=1e-3)
    assert first["drawdown"] > 0
    moved = json.loads((tmp_path / "a" / "movement.json").read_text())
    assert list(moved) == ["npti"] and len(moved["npti"]) == 2 and moved["npti"][1] > 0
    assert "| layer | npti |" in (tmp_path / "a" / "movement.md").read_text()


def test_the_control_takes_as_many_other_neurons_of_each_layer_by_the_same_amounts(folder):
    method = fitted(NPTI(**options(folder, strength=2.0)))
    control = control_of(method)
    mine, drawn = method.induced([{"extraversion": 1.0}]), control.induced([{"extraversion": 1.0}] * 2, [0, 1])
    assert drawn.strength.tolist() == [2.0, 2.0]
    for layer in (0, 1):
        for draw in (0, 1):
            for column in (0, 1):
                values = drawn.tables[layer][draw, column].sort().values
                assert torch.equal(mine.tables[layer][0, column].sort().values, values)
    assert any(not torch.equal(mine.tables[layer][0], drawn.tables[layer][0]) for layer in (0, 1))
    assert any(not torch.equal(drawn.tables[layer][0], drawn.tables[layer][1]) for layer in (0, 1))


def test_the_control_draws_by_item_whoever_is_asked_and_in_whatever_batch(folder):
    method = fitted(NPTI(**options(folder, tokens="answers")))
    high, low = Persona.trait("extraversion"), Persona.trait("extraversion", -1.0)

    def tables(control, *asked):
        ids = tuple(f"{item}:{who.name}" for item, who in asked)
        questions = Questions(ids, tuple(range(len(asked))), tuple(who for _, who in asked))
        limited = control.intervene(SimpleNamespace(questions=questions))
        assert limited.positions == "last"
        plain = limited.intervention.resolved()
        return torch.stack([plain.tables[layer] for layer in (0, 1)], dim=1)  # (P, L, 2, W)

    control = control_of(method)
    many = tables(control, *((str(item), high) for item in range(40)), ("0", low))
    assert 4 < len(many[:40].unique(dim=0)) <= 16
    assert torch.equal(tables(control, ("7", high))[0], many[7])
    order = method.induced([{"extraversion": 1.0}, {"extraversion": -1.0}]).tables
    for layer in (0, 1):  # where one end is held, the other is pushed: both ends by one draw
        pushed = order[layer][1, 0] != 0
        assert int((many[40, layer, 0] != 0).sum()) == int(pushed.sum())
        assert (many[0, layer, 1][many[40, layer, 0] != 0] == 0).all()
    assert not torch.equal(tables(control_of(method, seed=1), ("7", high))[0], many[7])


def test_a_control_without_its_method_is_refused():
    with pytest.raises(InputError, match="random_neurons is the control of another one"):
        RandomNeurons().on_test_start(SimpleNamespace(callbacks=[]), SimpleNamespace())


def test_a_share_of_the_neurons_is_dropped(folder):
    dropped = fitted(NPTI(**options(folder, minimum=40, dropped=0.5)))
    full = fitted(NPTI(**options(folder, minimum=40)))
    counts = [
        sum(int((t[0, 0] != 0).sum()) for t in one.induced([{"neuroticism": 1}]).tables.values())
        for one in (dropped, full)
    ]
    assert 0 < counts[0] < counts[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": float("nan")}, "strength"),
        ({"dropped": 1.0}, "dropped"),
        ({"percentile": 1.0}, "percentile"),
        ({"limit": 0}, "limit"),
        ({"traits": ["narcissism"]}, "traits"),
        ({"questions": None}, "neurons"),
        ({"neurons": "nowhere"}, "holds no neurons"),
        ({"traits": ["openness"]}, "does not exist"),
        ({"minimum": -1}, "minimum"),
        ({"pull": float("inf")}, "pull"),
        ({"layers": [2]}, "layers"),
        ({"layers": []}, "layers"),
    ],
)
def test_faulty_options_are_named(folder, changes, message):
    with pytest.raises(InputError, match=message):
        fitted(NPTI(**options(folder, **changes)))


def test_only_levels_of_known_traits_are_expressed(folder):
    method = fitted(NPTI(**options(folder)))
    assert method.refusal(Persona.trait("trust", -0.5)) is None
    for persona in (Persona("nobody"), Persona.trait("openness"), Persona.trait("narcissism")):
        assert "agreeableness" in method.refusal(persona)


def test_activations_that_are_no_numbers_are_refused(folder):
    method = NPTI(**options(folder))
    model = random_model()
    with torch.no_grad():
        model.get_decoder().layers[1].mlp.gate_proj.weight[3] = torch.nan
        model.get_decoder().layers[1].mlp.down_proj.weight[:, 3] = 0
    method.evaluation = SimpleNamespace(lm=model, tokenizer=byte_tokenizer(), trained=None)
    with pytest.raises(InputError, match="layer 1, neuron 3: an activation is not a number"):
        method.fit()


def test_sums_of_methods(folder):
    given = batch(texts(), "left")
    part = NPTI(**options(folder, tokens="answers", strength=20.0))
    formula = "0.5 * npti(extraversion) + 2 * npti(neuroticism=-1)"
    whole = fitted(Composed(formula, {"npti": part}, name="both"))
    personas = (Persona.trait("agreeableness"),) * 3
    model = whole.evaluation.lm
    terms = whole.terms(asked(*personas))
    assert list(terms) == ["0.5 * npti(extraversion)", "2 * npti(neuroticism=-1)"]
    by_hand = [
        part.intervene(asked(*(Persona.trait(name, level),) * 3)).scaled(weight)
        for name, level, weight in (("extraversion", 1, 0.5), ("neuroticism", -1, 2.0))
    ]
    assert torch.equal(logits(model, given, whole.intervene(asked(*personas))), logits(model, given, *by_hand))
    assert whole.method == "both" and whole.settings()["formula"] == formula
    assert whole.refusal(Persona("nobody")) is None
    own = fitted(Composed("npti", {"npti": part}))
    assert "for the part npti" in own.refusal(Persona("nobody"))


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("npti + pas", "method that there is not"),
        ("npti(height)", "trait that there is not"),
        ("npti *", "cannot be read"),
    ],
)
def test_faulty_sums_are_refused(folder, formula, message):
    with pytest.raises(InputError, match=message):
        fitted(Composed(formula, {"npti": NPTI(**options(folder))}))


def test_sums_run_in_an_evaluation_and_their_terms_are_reported(tiny_lm_dir, folder, tmp_path):
    data = write_edit_data(tmp_path / "data", 2)
    part = NPTI(**options(folder, tokens="answers", strength=20.0))
    report = MovementReport(texts=4)
    evaluate_edits(tiny_lm_dir, data, tmp_path, [Composed("npti - npti(extraversion)", {"npti": part}), report])
    moved = json.loads((tmp_path / "movement.json").read_text())
    assert list(moved) == ["npti", "-1 * npti(extraversion)", "composed"]
    assert {row["method"] for row in json.loads((tmp_path / "results.json").read_text())} == {"composed"}
