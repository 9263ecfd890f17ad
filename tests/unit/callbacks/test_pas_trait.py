"""PAS for a trait and a level, from a synthetic person's answers."""

import pytest

from callbacks.pas_trait import TraitPAS
from datamodules.papi import PapiDataModule
from datamodules.trait import TraitDataModule
from files.errors import InputError
from lightning_modules.pas import PASModule
from lm.loading import LMSpec
from personas.persona import Persona
from tests.papi import write_papi
from tests.traits import evaluate, write_trait

# A random model says anything, and nothing about personality.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
    pytest.mark.filterwarnings("ignore:.*with the same letter"),
]


@pytest.fixture(scope="module")
def papi(tmp_path_factory):
    return write_papi(tmp_path_factory.mktemp("papi"), people=2)


@pytest.fixture(scope="module")
def checkpoint(tiny_lm_dir, papi, tmp_path_factory):
    from lightning.pytorch import Trainer

    root = tmp_path_factory.mktemp("pas")
    spec = LMSpec(str(tiny_lm_dir))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        default_root_dir=root,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = PASModule(spec, heads=2, strengths=(4.0,), prompts=["plain"])
    trainer.fit(module, datamodule=PapiDataModule(spec, str(papi), batch_size=2))
    trainer.save_checkpoint(root / "last.ckpt")
    return str(root / "last.ckpt")


def method(papi, **options):
    return TraitPAS(str(papi / "IPIP-NEO-ItemKey.csv"), str(papi / "mpi_300_split.json"), **options)


@pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:.*weights_only. was not set")
def test_each_level_is_shifted_by_a_person_of_its_own(tiny_lm_dir, papi, checkpoint, tmp_path):
    data = TraitDataModule(
        LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")), traits=["openness", "neuroticism"]
    )
    rows = evaluate(tiny_lm_dir, data, tmp_path / "run", [method(papi)], ckpt_path=checkpoint)
    assert {row["method"] for row in rows.values()} == {"pas"}
    values = [rows[f"high_probability/openness{sign}"] for sign in "+-"]
    assert values[0]["value"] != values[1]["value"] and values[0]["base_value"] == values[1]["base_value"]


@pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:.*weights_only. was not set")
def test_a_strength_of_its_own_takes_the_place_of_the_chosen_one(tiny_lm_dir, papi, checkpoint, tmp_path):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")), traits=["openness"])
    values = [
        evaluate(tiny_lm_dir, data, tmp_path / str(strength), [method(papi, strength=strength)], ckpt_path=checkpoint)[
            "high_probability/openness+"
        ]
        for strength in (None, 4.0, 0.0)  # the checkpoint's one choice is 4
    ]
    assert values[0]["value"] == values[1]["value"]
    assert values[2]["value"] == values[2]["base_value"] != values[0]["value"]


def test_the_dark_triad_is_not_in_the_questionnaire(papi):
    steering = method(papi)
    steering.evaluation = type(
        "Evaluation", (), {"trained": type("T", (), {"module": type("M", (), {"method": "pas"})})}
    )
    steering.fit()
    assert steering.refusal(Persona.trait("agreeableness", -0.5)) is None
    assert "openness" in steering.refusal(Persona.trait("narcissism"))
    answers = steering.people([Persona.trait("openness", -1)]).people[0].answers
    assert set(answers) == {1, 3, 5}


def test_without_a_checkpoint_it_says_which_one_it_needs(tiny_lm_dir, papi, tmp_path):
    data = TraitDataModule(LMSpec(str(tiny_lm_dir)), str(write_trait(tmp_path / "data")))
    with pytest.raises(InputError, match="needs a PAS checkpoint"):
        evaluate(tiny_lm_dir, data, tmp_path / "run", [method(papi)])
