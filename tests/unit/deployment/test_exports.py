"""Every export is loaded by the program it is for, and answers there as the method does inside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from interventions.applied import applied
from interventions.bundle import load_bundle
from interventions.limited import Limited
from interventions.places import places_of
from interventions.steered_model import SteeredModel
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec, LoRASpec, load_model
from tests.unit.deployment.exported import CLOSE, GIVEN, bundled, model_folder, plain_logits, written
from tests.unit.interventions.steered import add_direction, induce_neurons, limited, logits, shift_heads
from tests.unit.interventions.test_bundle import weight_edit
from tests.unit.lightning_modules.test_trained import saved

REPOSITORY = Path(__file__).resolve().parents[3]
PEOPLE = ("anna", "Björn/2", "carla")


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("lm"))


@pytest.mark.parametrize("arch", ["llama", "qwen3", "gemma2", "gpt2"])
def test_shifted_heads_become_a_bias_where_there_is_one(arch, tmp_path, capsys):
    folder = model_folder(tmp_path / "lm", arch)
    path, inside = bundled(tmp_path, folder, "pas", ("anna",), lambda model: shift_heads(places_of(model), 1))
    assert "pas as bias" in written(capsys, path, "--out", tmp_path / "out")
    torch.testing.assert_close(plain_logits(tmp_path / "out"), inside, **CLOSE)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config.get("attention_bias", True) is True
    assert "attention_bias" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("arch", ["mistral", "qwen2", "phi3", "gptj"])
def test_shifted_heads_become_a_bundle_elsewhere(arch, tmp_path, capsys):
    folder = model_folder(tmp_path / "lm", arch)
    path, inside = bundled(tmp_path, folder, "pas", ("anna",), lambda model: shift_heads(places_of(model), 1))
    assert "pas as bundle" in written(capsys, path, "--out", tmp_path / "out")
    steered = SteeredModel.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        torch.testing.assert_close(steered(**GIVEN).logits[GIVEN["attention_mask"].bool()], inside, **CLOSE)
    assert "vLLM does not suffice" in (tmp_path / "out" / "README.md").read_text()


KINDS = {
    "pas": lambda model: Limited(shift_heads(places_of(model)), positions="last"),
    "repe": lambda model: 0.7 * add_direction(places_of(model)),
    "sae": lambda model: Limited(add_direction(places_of(model)), phase="prompt", positions="all_but_last"),
    "npti": lambda model: Limited(induce_neurons(places_of(model)), positions="last"),
    "mend": lambda model: weight_edit(),
    "composed": lambda model: limited(places_of(model)) + 0.5 * induce_neurons(places_of(model)),
}


@pytest.mark.parametrize("method", KINDS)
def test_bundles_answer_as_inside(method, lm, tmp_path, capsys):
    path, inside = bundled(tmp_path, lm, method, PEOPLE, KINDS[method])
    written(capsys, path, "--out", tmp_path / "out", "--with_base", "true")
    steered = SteeredModel.from_pretrained(tmp_path / "out")
    assert steered.persona == "anna" and steered.config.model_type == "llama"
    real = GIVEN["attention_mask"].bool()
    with torch.no_grad():
        torch.testing.assert_close(steered(**GIVEN).logits[real], inside, **CLOSE)
        each = steered(**GIVEN, personas=PEOPLE).logits
        alone = SteeredModel(steered.model, steered.bundle, persona="carla")(**GIVEN).logits
        torch.testing.assert_close(each[2][real[2]], alone[2][real[2]], **CLOSE)
        steered.strength = 0.0
        assert torch.equal(steered(**GIVEN).logits, steered.model(**GIVEN).logits)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in steered.model.modules())


def test_directions_become_control_vectors(lm, tmp_path, capsys):
    from gguf import GGUFReader

    path, inside = bundled(tmp_path, lm, "repe", PEOPLE, KINDS["repe"])
    written(capsys, path, "--out", tmp_path / "out", "--form", "control_vector")
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"README.md", "anna.gguf", "Björn_2.gguf", "carla.gguf"}
    reader = GGUFReader(tmp_path / "out" / "anna.gguf")
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.model_hint").contents() == "llama"
    assert reader.get_field("controlvector.layer_count").contents() == len(reader.tensors) == 1
    model = load_model(LMSpec(str(lm)))
    held = load_bundle(path, model).intervention
    assert torch.equal(torch.tensor(reader.tensors[0].data.copy()), held.tables[1][0, 0] * held.strength[0])
    # As llama.cpp does: direction.k is added to what leaves block k.
    step = torch.tensor(reader.tensors[0].data.copy())
    block = model.model.layers[int(reader.tensors[0].name.split(".")[1])]
    block.register_forward_hook(lambda module, args, output: output + step)
    torch.testing.assert_close(logits(model, GIVEN), inside, **CLOSE)


def test_an_adapter_is_written_beside_the_weights_or_into_them(lm, tmp_path, capsys):
    module = SFTModule(LMSpec(str(lm), lora=LoRASpec(r=2, target_modules=["q_proj", "down_proj"])))
    module.configure_model()
    with torch.no_grad():
        for name, weight in module.lm.named_parameters():
            if "lora_B" in name:
                weight.add_(0.2)
    inside = logits(module.lm, GIVEN)
    path = saved(module, tmp_path / "sft.ckpt")
    assert "sft as adapter" in written(capsys, path, "--out", tmp_path / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(lm, dtype=torch.float32).eval()
    assert (logits(plain, GIVEN) - inside).abs().max() > 1e-2
    plain.load_adapter(str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(plain, GIVEN), inside, **CLOSE)
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    assert "--enable-lora" in (tmp_path / "adapter" / "README.md").read_text()
    written(capsys, path, "--out", tmp_path / "weights", "--form", "weights")
    torch.testing.assert_close(plain_logits(tmp_path / "weights"), inside, **CLOSE)


def test_trained_weights_are_written_as_they_are(lm, tmp_path, capsys):
    module = SFTModule(LMSpec(str(lm)))
    module.configure_model()
    with torch.no_grad():
        for parameter in module.lm.parameters():
            parameter.mul_(1.1)
    inside = logits(module.lm, GIVEN)
    written(capsys, saved(module, tmp_path / "sft.ckpt"), "--out", tmp_path / "out")
    torch.testing.assert_close(plain_logits(tmp_path / "out"), inside, **CLOSE)


BLOCKED = (
    *("lightning", "pytorch_lightning", "jsonargparse", "torchmetrics", "peft", "sklearn", "scipy", "tensorboard"),
    *("matplotlib", "pandas", "gradio", "gguf", "datasets", "openai", "trl", "rich"),
)


def test_a_bundle_needs_three_lines_and_three_libraries(lm, tmp_path, capsys):
    path, _ = bundled(tmp_path, lm, "repe", PEOPLE, KINDS["repe"])
    written(capsys, path, "--out", tmp_path / "out")
    ids = GIVEN["input_ids"][:1].tolist()
    outside = f"""
import sys, torch
for name in {BLOCKED!r}:
    sys.modules[name] = None  # as if it were not installed
from interventions.steered_model import SteeredModel
model = SteeredModel.from_pretrained({str(tmp_path / "out")!r})
ids = torch.tensor({ids})
print(model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)[0].tolist())
"""
    done = subprocess.run([sys.executable, "-c", outside], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    model = load_model(LMSpec(str(lm)))
    with torch.no_grad(), applied(model, load_bundle(path, model).only("anna").intervention):
        inside = model.generate(torch.tensor(ids), max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert json.loads(done.stdout.splitlines()[-1]) == inside[0].tolist()
    assert inside.shape[1] > len(ids[0])
