"""PAS under descriptions, learnt from how the model is about to answer after them."""

import pytest
import torch

from files.errors import InputError
from interventions.heads import head_sites, stacked_heads
from interventions.places import places_of
from interventions.recorded import recorded
from interventions.reductions import LastToken
from lightning_modules.answering import AnswerSettings, Respondent, answer_all
from lightning_modules.pas import PASModule
from lightning_modules.pas_asked import end_of
from lightning_modules.pas_record import asked_heads
from lightning_modules.pas_strength import Trial, trait_errors
from lightning_modules.trained import load_trained
from lm.chat import encode_prompts
from lm.loading import LMSpec
from personas.questionnaire import Item
from personas.wording import Wording, described_by
from tests.models import ARCHITECTURES, byte_tokenizer, random_model
from tests.papi import DESCRIBING, ITEMS, changed_papi, learn_people, people_data, write_papi

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*weights_only. was not set"),
]
OPTIONS = {"described": "asked", "positions": "last", "described_strengths": [-1.0, 0.0, 2.0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=5)


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, folder, tmp_path_factory):
    return learn_people(tiny_lm_dir, folder, tmp_path_factory.mktemp("pas"), **OPTIONS)


def batch_of(lm_dir, folder, places, stage="fit"):
    data = people_data(lm_dir, folder)
    data.setup(stage)
    return data.batch(places, ask=stage == "test")


def module_of(lm_dir, **options) -> PASModule:
    module = PASModule(
        LMSpec(str(lm_dir)), **{"heads": 3, "strengths": [0.0, 2.0, 6.0], "rows": 32, **OPTIONS, **options}
    )
    module.configure_model()
    return module


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("answer", ["{letter}", " ({letter})"])
def test_heads_after_a_shared_description_are_those_of_each_whole_prompt(arch, answer):
    model, tokenizer = random_model(arch), byte_tokenizer()
    places = places_of(model)
    wording = Wording(question="Me? {statement}", answer_prefix="Option" if "(" in answer else "", answer=answer)
    items = [Item(number, text, "openness", 1) for number, text in enumerate(("Sing.", "Paint all day.", "Rest."))]
    chats = [described_by("You sing.", wording.ask(item)) for item in items]
    found = asked_heads(model, tokenizer, places, chats, wording.answers(), 2, [1, 0])
    with torch.no_grad(), recorded(model, head_sites(places), LastToken(dtype=torch.float32)) as recording:
        for ids in encode_prompts(tokenizer, chats):
            model(torch.tensor([ids + tokenizer.encode(answer.split("{")[0])]))
    torch.testing.assert_close(found, stacked_heads(recording, places, [1, 0]), rtol=1e-4, atol=1e-5)


def test_the_distance_of_options_is_that_of_the_likeliest_or_of_all_by_their_shares():
    items = [Item(1, "Sing.", "openness", 1), Item(2, "Paint.", "openness", -1), Item(3, "Worry.", "neuroticism", 1)]
    trial = Trial(items, torch.tensor([[5, 0, 2]]), torch.zeros(3, dtype=torch.long), [])
    shares = torch.tensor([[[[0.6, 0.0, 0.4, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.1, 0.0, 0.9, 0.0]]]])
    likeliest, expected = (trait_errors(shares, trial, of_all)[0, 0] for of_all in (False, True))
    assert likeliest[0] == 0 and likeliest[4] == 0 and likeliest[1:4].isnan().all()
    # 0.4 of the answers lie two points off, 0.1 of the others too; the second item has no answer
    torch.testing.assert_close(expected[[0, 4]], torch.tensor([0.8, 0.2], dtype=torch.double))


def test_the_checkpoint_brings_back_shifts_and_strengths_of_traits(checkpoint, tiny_lm_dir, folder):
    module = load_trained(checkpoint, LMSpec(str(tiny_lm_dir))).module
    tensors = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert tensors["strengths"].shape == (5, 1, 1) and tensors["asked_strengths"].shape == (5, 5)
    assert tensors["asked_vectors"].shape[:2] == (5, 3) and tensors["asked_errors"].shape == (5, 3)
    assert set(tensors["asked_strengths"].flatten().tolist()) <= {-1.0, 0.0, 2.0}
    heads, vectors = module.shifted_heads(batch_of(tiny_lm_dir, folder, [3]), "described")
    assert torch.equal(heads[0], tensors["asked_heads"][3].expand(10, -1, -1))
    for trait, strength in enumerate(tensors["asked_strengths"][3].tolist()):
        for end, sign in enumerate((1, -1)):
            assert torch.equal(vectors[0, 2 * trait + end], sign * strength * tensors["asked_vectors"][3])


def test_people_are_learnt_alone_as_in_company(checkpoint, tiny_lm_dir, folder):
    tensors = torch.load(checkpoint, weights_only=True)["state_dict"]
    alone = module_of(tiny_lm_dir).learn(batch_of(tiny_lm_dir, folder, [4]))
    assert torch.equal(alone["asked_heads"][0], tensors["asked_heads"][4])
    assert torch.equal(alone["asked_strengths"][0], tensors["asked_strengths"][4])
    for name in ("asked_vectors", "asked_errors"):
        torch.testing.assert_close(alone[name][0], tensors[name][4], rtol=1e-4, atol=1e-5)


def test_nothing_is_learnt_from_scored_items(tiny_lm_dir, folder, tmp_path):
    others = changed_papi(tmp_path, **{f"i{n}": 1 for n in range(DESCRIBING + 1, ITEMS + 1)})
    module = module_of(tiny_lm_dir)
    one, two = (module.learn(batch_of(tiny_lm_dir, data, [0])) for data in (folder, others))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_item_is_steered_by_its_trait_and_key(tiny_lm_dir, folder):
    module = module_of(tiny_lm_dir, described_strengths=[2.0])
    batch = batch_of(tiny_lm_dir, folder, [0, 1], "test")
    module._append(batch.part([0, 1]))
    questions = batch.questions
    base, settings = Respondent(module.lm, questions), AnswerSettings(rows=32)

    def answered(intervention):
        return answer_all(base, Respondent(module.lm, questions, intervention), module.tokenizer, settings)[1].choices

    together = answered(module.intervene(batch, "described"))
    heads, vectors = (module.get_buffer(f"asked_{name}").unsqueeze(1) for name in ("heads", "vectors"))
    either = {key: answered(module.shift(heads, 2.0 * key * vectors)) for key in (1, -1)}
    items = {str(item.number): item for item in batch.questionnaire.items}
    assert {end_of(item) % 2 for item in items.values()} == {0, 1}
    for row, question in enumerate(questions.choices):
        expected = either[items[question.part].key][row]
        torch.testing.assert_close(together[row], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(torch.stack(either[1]), torch.stack(either[-1]))


def test_somebody_who_agrees_with_everything_is_left_as_described(tiny_lm_dir, tmp_path):
    others = changed_papi(tmp_path, **{f"i{n}": 5 for n in range(1, DESCRIBING + 1)})
    learnt = module_of(tiny_lm_dir).learn(batch_of(tiny_lm_dir, others, [0, 1]))
    assert not learnt["asked_vectors"][0].any() and learnt["asked_vectors"][1].any()
    assert not learnt["asked_strengths"][0].any()


def test_heads_are_those_of_the_layers_named(tiny_lm_dir, folder):
    batch = batch_of(tiny_lm_dir, folder, [0, 1])
    last, everywhere = (
        module_of(tiny_lm_dir, described_layers=layers, heads=4).learn(batch) for layers in ([1], [0, 1])
    )
    assert last["asked_heads"][..., 0].unique().tolist() == [1]
    # A head has the same direction, whichever others it was chosen among.
    vectors = {
        tuple(head): vector
        for head, vector in zip(last["asked_heads"][0].tolist(), last["asked_vectors"][0], strict=True)
    }
    shared = 0
    for head, vector in zip(everywhere["asked_heads"][0].tolist(), everywhere["asked_vectors"][0], strict=True):
        if tuple(head) in vectors:
            torch.testing.assert_close(vector, vectors[tuple(head)])
            shared += 1
    assert shared


def test_one_shift_for_whatever_is_asked_is_refused_where_it_goes_by_the_item(checkpoint, tiny_lm_dir):
    module = load_trained(checkpoint, LMSpec(str(tiny_lm_dir))).module
    assert module.stated_prompts == ["plain"] and len(module.bundle("plain").personas) == 5
    with pytest.raises(InputError, match="goes by each item's key"):
        module.bundle("described")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prompts": ["plain"]}, "described"),
        ({"select_on": "test"}, "described"),
        ({"described_strengths": []}, "described_strengths"),
        ({"described_layers": [9]}, "described_layers"),
        ({"described_layers": []}, "described_layers"),
    ],
)
def test_options_that_mean_nothing_are_refused(tiny_lm_dir, options, field):
    with pytest.raises(InputError, match=f"model.init_args.{field}'"):
        module_of(tiny_lm_dir, **options)
