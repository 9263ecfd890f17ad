"""PAS from statements that are told, and along the trait that is asked."""

import pytest
import torch

from interventions.heads import head_sites, stacked_heads
from interventions.places import places_of
from interventions.recorded import recorded
from interventions.reductions import LastToken
from lightning_modules.answering import AnswerSettings, Respondent, answer_all
from lightning_modules.pas import PASModule
from lightning_modules.pas_record import told_heads
from lm.chat import encode_prompts
from lm.loading import LMSpec
from personas.questionnaire import Item
from personas.traits import BIG_FIVE
from personas.wording import Wording, described_by
from tests.models import byte_tokenizer, random_model
from tests.papi import people_data, write_papi

ANSWERED = AnswerSettings(rows=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=2)


def test_each_item_is_steered_along_its_own_trait(tiny_lm_dir, folder):
    """Answers under all rows together equal those of a shift that knows one trait only."""
    options = {"per_trait": True, "strengths": [2.0], "prompts": ["plain"], "positions": "last"}
    module = PASModule(LMSpec(str(tiny_lm_dir)), heads=3, along="asked", **options)
    module.configure_model()
    data = people_data(tiny_lm_dir, folder)
    data.setup("test")
    batch = data.batch([0, 1])
    module._append(batch)
    heads, vectors = module.shifted_heads(batch)
    _, answers = answer_all(*respondents(module, batch, module.intervene(batch)), module.tokenizer, ANSWERED)
    trait_of = {str(item.number): item.trait for item in batch.questionnaire.items}
    for place, trait in enumerate(BIG_FIVE):
        alone = vectors * (torch.arange(5) == place).view(1, 5, 1, 1)
        _, own = answer_all(*respondents(module, batch, module.shift(heads, alone)), module.tokenizer, ANSWERED)
        rows = [row for row, question in enumerate(batch.questions.choices) if trait_of[question.part] == trait]
        assert rows
        for row in rows:
            torch.testing.assert_close(answers.choices[row], own.choices[row], rtol=1e-4, atol=1e-5)
    _, all_along = answer_all(*respondents(module, batch, module.shift(heads, vectors)), module.tokenizer, ANSWERED)
    assert not torch.allclose(torch.stack(answers.choices), torch.stack(all_along.choices))


def respondents(module, batch, intervention):
    return Respondent(module.lm, batch.questions), Respondent(module.lm, batch.questions, intervention)


def test_told_statements_are_followed_by_others_of_their_trait():
    items = [
        Item(1, "Am calm.", "neuroticism", -1),
        Item(2, "Worry.", "neuroticism", 1),
        Item(3, "Sing.", "openness", 1),
        Item(4, "Panic.", "neuroticism", 1),
    ]
    model, tokenizer, wording = random_model(), byte_tokenizer(), Wording()
    places = places_of(model)
    found = told_heads(model, tokenizer, places, items, wording, 4)
    assert found.shape[0] == 8

    def last(*chats):
        with torch.no_grad(), recorded(model, head_sites(places), LastToken(dtype=torch.float32)) as recording:
            for ids in encode_prompts(tokenizer, list(chats)):
                model(torch.tensor([ids]))
        return stacked_heads(recording, places).mean(0)

    same, other = wording.ask(items[3]), wording.ask(items[0])
    torch.testing.assert_close(
        found[2], last(*(described_by("You worry.", chat) for chat in (same, other))), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(found[3], last(same, other), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[4], last(described_by("You sing.", wording.ask(items[2]))), rtol=1e-4, atol=1e-5)
