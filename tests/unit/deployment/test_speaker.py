"""Load, steer, generate: every question is answered as alone, and what cannot be steered is refused."""

import pytest
import yaml

from deployment.speaker import Speaker
from files.errors import InputError
from lm.generation import generate
from tests.unit.callbacks.test_directions import contrasts


@pytest.fixture
def settings(tiny_lm_dir, tmp_path):
    method = {
        "class_path": "callbacks.repe.RepE",
        "init_args": {"contrasts": contrasts(tmp_path), "samples": 2, "layers": [1], "strength": 20.0},
    }
    content = {"model": {"init_args": {"lm": {"name": str(tiny_lm_dir)}}}, "trainer": {"callbacks": [method]}}
    (tmp_path / "repe.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "repe.yaml"


def test_a_persona_answers_and_the_model_is_left_alone(settings):
    speaker = Speaker.load(settings)
    asked = ("Well?", "What of tea, or of rain?")
    stage = speaker.method.stage
    chats = [[{"role": "user", "content": text}] for text in asked]
    plain = generate(stage.lm, stage.tokenizer, chats, max_new_tokens=8, seed=0, batch_size=2)
    steered = speaker.steered("extraversion+")
    together = steered.generate(*asked, max_new_tokens=8)
    assert together == [steered.generate(text, max_new_tokens=8)[0] for text in asked]
    assert together != plain
    assert together != speaker.steered("extraversion-").generate(*asked, max_new_tokens=8)
    for unchanged in (speaker, speaker.steered("extraversion+", strength=0)):
        assert unchanged.generate(*asked, max_new_tokens=8) == plain
    assert speaker.generate() == []


def test_directions_are_kept_in_a_folder(settings, tmp_path):
    first = Speaker.load(settings, folder=tmp_path / "kept").steered("extraversion+")
    assert any((tmp_path / "kept").iterdir())
    again = Speaker.load(settings, folder=tmp_path / "kept").steered("extraversion+")
    assert again.generate("Tea?", max_new_tokens=8) == first.generate("Tea?", max_new_tokens=8)


def test_what_cannot_be_steered_is_refused(settings, tmp_path):
    speaker = Speaker.load(settings)
    with pytest.raises(InputError, match="names no persona"):
        speaker.steered("somebody")
    with pytest.raises(InputError, match="cannot express"):
        speaker.steered("openness+").generate("Well?")
    trained = yaml.safe_load(settings.read_text()) | {"trainer": {}}
    (tmp_path / "trained.yaml").write_text(yaml.safe_dump(trained))
    with pytest.raises(InputError, match="no personas to choose from"):
        Speaker.load(tmp_path / "trained.yaml", ckpt_path="last.ckpt")
