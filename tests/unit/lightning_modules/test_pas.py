"""PAS: what it learns of people, from which items, and that it comes back from its checkpoint."""

import pytest
import torch

from files.errors import InputError
from interventions.applied import applied
from interventions.limited import Limited
from lightning_modules.pas import PASModule
from lightning_modules.pas_fit import HeadSettings, find_heads, head_shifts, item_folds, statement_labels
from lightning_modules.pas_strength import Prober
from lightning_modules.trained import load_trained
from lm.loading import LMSpec
from lm.passes import ForwardRows
from tests.models import byte_tokenizer, random_model
from tests.papi import DESCRIBING, ITEMS, changed_papi, learn_people, people_data, write_papi

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*weights_only. was not set"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=5)


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, folder, tmp_path_factory):
    return learn_people(tiny_lm_dir, folder, tmp_path_factory.mktemp("pas"))


def module_of(lm_dir, **options) -> PASModule:
    module = PASModule(LMSpec(str(lm_dir)), **{"heads": 3, "strengths": [0.0, 2.0], "rows": 32, **options})
    module.configure_model()
    return module


def batch_of(lm_dir, folder, places, **options):
    data = people_data(lm_dir, folder, **options)
    data.setup("fit")
    return data.batch(places, ask=False)


def state(path):
    return torch.load(path, weights_only=True)


def test_a_fit_without_steps_writes_a_small_checkpoint_of_all_people(checkpoint):
    saved = state(checkpoint)
    tensors, people = saved["state_dict"], saved["oceantune"]["people"]
    assert people["cases"] == [str(100 + n) for n in range(5)] and len(set(people["fingerprints"])) == 5
    assert tensors["heads"].shape == (5, 1, 3, 2) and tensors["vectors"].shape[:3] == (5, 1, 3)
    assert tensors["strengths"].shape == (5, 2, 1) and tensors["errors"].shape == (5, 2, 3)
    assert not any(name.startswith("lm.") for name in tensors)
    chosen = tensors["strengths"][..., 0]
    of_chosen = (chosen[..., None] == torch.tensor([0.0, 2.0, 6.0])).double().argmax(-1, keepdim=True)
    assert torch.equal(tensors["errors"].gather(2, of_chosen).squeeze(2), tensors["errors"].min(2).values)


def test_the_checkpoint_comes_back(checkpoint, tiny_lm_dir, folder):
    trained = load_trained(checkpoint, LMSpec(str(tiny_lm_dir)))
    batch = batch_of(tiny_lm_dir, folder, [3, 1])
    tensors = state(checkpoint)["state_dict"]
    for number, prompt in enumerate(("plain", "described")):
        heads, vectors = trained.module.shifted_heads(batch, prompt)
        assert torch.equal(heads, tensors["heads"][[3, 1]])
        scaled = tensors["vectors"][[3, 1]] * tensors["strengths"][[3, 1], number].view(2, -1, 1, 1)
        assert torch.equal(vectors, scaled)
    assert len(trained.intervene(batch)) == 2


def test_people_are_learnt_alone_as_in_company(checkpoint, tiny_lm_dir, folder):
    tensors = state(checkpoint)["state_dict"]
    module = module_of(tiny_lm_dir, strengths=[0.0, 2.0, 6.0])
    for place in (0, 4):
        alone = module.learn(batch_of(tiny_lm_dir, folder, [place]))
        for name in ("heads", "strengths"):
            assert torch.equal(alone[name][0], tensors[name][place]), name
        for name in ("vectors", "accuracy", "errors"):
            torch.testing.assert_close(alone[name][0], tensors[name][place], rtol=1e-5, atol=1e-6)


def test_nothing_is_learnt_from_scored_items(tiny_lm_dir, folder, tmp_path):
    others = changed_papi(tmp_path, **{f"i{n}": 1 for n in range(DESCRIBING + 1, ITEMS + 1)})
    module = module_of(tiny_lm_dir)
    one, two = (module.learn(batch_of(tiny_lm_dir, data, [0])) for data in (folder, others))
    assert all(torch.equal(one[name], two[name]) for name in one)
    released = module_of(tiny_lm_dir, select_on="test")
    one, two = (released.learn(batch_of(tiny_lm_dir, data, [0])) for data in (folder, others))
    assert torch.equal(one["vectors"], two["vectors"]) and not torch.equal(one["errors"], two["errors"])


def test_an_item_is_tried_under_what_was_learnt_without_it(tiny_lm_dir, folder, monkeypatch):
    trials = []
    original = Prober.probabilities
    monkeypatch.setattr(Prober, "probabilities", lambda *args: trials.append(args[1]) or original(*args))
    module = module_of(tiny_lm_dir, folds=3)
    batch = batch_of(tiny_lm_dir, folder, [0, 1])
    module.learn(batch)
    plain, described = trials
    assert plain.descriptions is None
    features, answers = module._recorded(batch), plain.answers
    labels, used = statement_labels(answers)
    for fold, (shifts, texts) in enumerate(zip(described.shifts, described.descriptions, strict=True)):
        inside = described.folds == fold
        for item, own in zip(described.items, inside.tolist(), strict=True):
            assert all((item.text in text) != own for text in texts)
        without = used & ~inside.repeat_interleave(2)
        expected = head_shifts(features, labels, without, shifts.heads, shifts.accuracy, module.settings)
        torch.testing.assert_close(shifts.vectors, expected.vectors)


@pytest.mark.parametrize(
    "options",
    [
        {"per_trait": True},
        {"per_trait": True, "strength_per_trait": True},
        {"direction": "probe"},
        {"statements": "told"},
        {"tried": 10},
        {"ranking": "as_released", "select_on": "test"},
        {"positions": "last", "prompts": ["plain"]},
        {"heads": 99},
    ],
)
def test_every_option_learns_people(tiny_lm_dir, folder, options):
    module = module_of(tiny_lm_dir, **options)
    batch = batch_of(tiny_lm_dir, folder, [0, 1])
    learnt = module.learn(batch)
    parts = 5 if options.get("per_trait") else 1
    sites = module.places.sites
    count = min(options.get("heads", 3), sites.num_layers * sites.num_heads)
    assert learnt["heads"].shape == (2, parts, count, 2)
    assert learnt["vectors"].isfinite().all() and (learnt["vectors"].norm(dim=-1) > 0).all()
    assert learnt["strengths"].shape == (2, len(module.prompts), parts)
    module._append(batch)
    assert isinstance(module.intervene(batch), Limited) == (options.get("positions") == "last")


def test_strengths_of_traits_are_those_of_each_trait_alone(tiny_lm_dir, folder):
    """With the directions of one trait only, the error of its items decides."""
    module = module_of(tiny_lm_dir, per_trait=True, strength_per_trait=True, prompts=["plain"])
    batch = batch_of(tiny_lm_dir, folder, [0])
    learnt = module.learn(batch)
    assert set(learnt["strengths"].flatten().tolist()) <= {0.0, 2.0}


def test_a_person_without_opinions_is_left_as_the_model_is(tiny_lm_dir, folder, tmp_path):
    others = changed_papi(tmp_path, **{f"i{n}": 3 if n % 2 else 0 for n in range(1, DESCRIBING + 1)})
    module = module_of(tiny_lm_dir, per_trait=True)
    batch = batch_of(tiny_lm_dir, others, [0, 1])
    with pytest.warns(UserWarning, match="2 people are not in the PAS checkpoint"):
        shift = module.intervene(batch)
    ids = torch.tensor([[5, 6, 7], [5, 6, 7]])
    rows = ForwardRows(torch.tensor([0, 1]), torch.ones_like(ids), torch.zeros_like(ids, dtype=torch.bool))
    plain = module.lm(ids).logits
    with applied(module.lm, shift.for_pass(rows)):
        steered = module.lm(ids).logits
    assert torch.equal(steered[0], plain[0])
    assert torch.equal(module.lm(ids).logits, plain)


def test_people_who_come_late_are_learnt_once(checkpoint, tiny_lm_dir, folder, tmp_path):
    others = changed_papi(tmp_path, case=999)
    module = load_trained(checkpoint, LMSpec(str(tiny_lm_dir))).module
    batch = batch_of(tiny_lm_dir, others, [0, 1])
    with pytest.warns(UserWarning, match="1 people"):
        first = module.shifted_heads(batch)
    again = module.shifted_heads(batch)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))


def test_a_checkpoint_of_another_model_is_refused(checkpoint, tmp_path):
    random_model("llama", seed=5).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="another model"):
        load_trained(checkpoint, LMSpec(str(tmp_path)))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_two_processes_learn_the_same(checkpoint, tiny_lm_dir, folder, tmp_path):
    one, two = state(checkpoint), state(learn_people(tiny_lm_dir, folder, tmp_path, processes=2))
    assert one["oceantune"]["people"] == two["oceantune"]["people"]
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"heads": 0}, "heads"),
        ({"folds": 1}, "folds"),
        ({"rows": 0}, "rows"),
        ({"c": 0.0}, "c"),
        ({"strengths": []}, "strengths"),
        ({"prompts": []}, "prompts"),
        ({"strength_per_trait": True}, "strength_per_trait"),
        ({"along": "asked"}, "along"),
        ({"tried": 0}, "tried"),
    ],
)
def test_options_that_mean_nothing_are_refused(tiny_lm_dir, options, field):
    with pytest.raises(InputError, match=f"model.init_args.{field}'"):
        module_of(tiny_lm_dir, **options)


def test_strengths_under_a_prompt_that_was_not_tried_are_refused(tiny_lm_dir, folder):
    module = module_of(tiny_lm_dir, prompts=["plain"])
    with pytest.raises(InputError, match="described"):
        module.intervene(batch_of(tiny_lm_dir, folder, [0]), "described")


def test_planted_heads_are_found_and_pointed_along():
    """Two heads carry the answer, one of them only on items of the first fold, all others noise."""
    generator = torch.Generator().manual_seed(0)
    items, layers, heads, width = 60, 3, 4, 8
    features = torch.randn(2 * items, layers, heads, width, generator=generator)
    answers = torch.randint(1, 6, (3, items), generator=generator)
    labels, used = statement_labels(answers)
    folds = torch.arange(items) % 2
    axis = torch.zeros(width)
    axis[2] = 1.0
    # The first person's answers are written into a head; the others' are not.
    features[:, 1, 3] += 3 * torch.where(labels[0] > 0, 1.0, -1.0).unsqueeze(1) * axis
    settings = HeadSettings(heads=1)
    found, accuracy = find_heads(features, labels, used, folds.repeat_interleave(2), settings)
    assert found[0, 0].tolist() == [1, 3] and accuracy[0, 0] > 0.95 > 0.8 > accuracy[1, 0]
    shifts = head_shifts(features, labels, used, found, accuracy, settings)
    direction = shifts.vectors[0, 0]
    assert (direction / direction.norm())[2] > 0.95
    spread = (features[used[0]][:, 1, 3] @ (direction / direction.norm())).std(correction=0)
    torch.testing.assert_close(direction.norm(), spread, rtol=1e-4, atol=1e-5)


def test_folds_are_even_in_every_trait_and_direction(tiny_lm_dir, folder):
    items = batch_of(tiny_lm_dir, folder, [0]).questionnaire.described
    folds = item_folds(items, 2, seed=3)
    for trait in {item.trait for item in items}:
        counts = [
            sum(item.trait == trait and int(f) == k for item, f in zip(items, folds, strict=True)) for k in (0, 1)
        ]
        assert abs(counts[0] - counts[1]) <= 1
    assert not torch.equal(folds, item_folds(items, 2, seed=4))
