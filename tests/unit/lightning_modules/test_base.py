"""Checkpoints hold what is trained, name what they belong to, and are compared both ways when they are read."""

import pytest
import torch
from torch import nn

from files.errors import InputError
from lightning_modules.base import HEADER, PersonaModule
from lm.loading import LMSpec, freeze
from tests.models import byte_tokenizer, random_model


class ProbeModule(PersonaModule):
    """Trains a probe beside a frozen model."""

    def __init__(self, lm: LMSpec, width: int = 3):
        super().__init__(lm)
        self.probe = nn.Linear(width, 2)
        self.register_buffer("count", torch.zeros(1))

    def configure_model(self) -> None:
        super().configure_model()
        freeze(self.lm)


@pytest.fixture
def probe(tiny_lm_dir):
    module = ProbeModule(LMSpec(str(tiny_lm_dir)))
    module.configure_model()
    return module


def checkpoint_of(module):
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": {"lm": module.lm_spec}}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def test_frozen_weights_are_left_out_and_trained_ones_kept(probe):
    assert set(probe.state_dict()) == {"probe.weight", "probe.bias", "count"}
    probe.lm.get_input_embeddings().requires_grad_(True)
    names = set(probe.state_dict()) - {"probe.weight", "probe.bias", "count"}
    assert names
    assert all("embed" in name for name in names)


def test_the_model_is_loaded_once(probe):
    loaded = probe.lm
    probe.configure_model()
    assert probe.lm is loaded
    assert probe.tokenizer.pad_token_id is not None


def test_the_header_names_the_method_and_holds_plain_settings(probe, tiny_lm_dir, tmp_path):
    checkpoint = checkpoint_of(probe)
    torch.save(checkpoint, tmp_path / "a.ckpt")
    header = torch.load(tmp_path / "a.ckpt", weights_only=True)[HEADER]
    assert header["method"] == probe.method == "probe"
    assert header["class_path"].endswith("test_base.ProbeModule")
    assert header["settings"]["lm"]["name"] == str(tiny_lm_dir)
    assert header["settings"]["width"] == 3


def test_a_checkpoint_comes_back(probe, tiny_lm_dir):
    checkpoint = checkpoint_of(probe)
    other = ProbeModule(LMSpec(str(tiny_lm_dir)))
    other.configure_model()
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    for name, value in probe.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("probe.bias"), "missing 1 .probe.bias"),
        (lambda state: state.update(other=torch.zeros(1)), "unknown 1 .other"),
        (lambda state: state.update(count=torch.zeros(2)), "count in another shape"),
    ],
)
def test_other_names_and_shapes_are_refused(probe, change, said):
    state = dict(probe.state_dict())
    change(state)
    with pytest.raises(InputError, match=said):
        probe.load_state_dict(state)


def test_checkpoints_of_other_programs_methods_and_models_are_refused(probe, tmp_path):
    checkpoint = checkpoint_of(probe)
    with pytest.raises(InputError, match="not written by this program"):
        probe.on_load_checkpoint({"state_dict": {}})
    other = {HEADER: checkpoint[HEADER] | {"method": "mend"}}
    with pytest.raises(InputError, match="another method"):
        probe.on_load_checkpoint(other)
    random_model("gpt2").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    stranger = ProbeModule(LMSpec(str(tmp_path)))
    stranger.configure_model()
    with pytest.raises(InputError, match="another model"):
        stranger.on_load_checkpoint(checkpoint)
