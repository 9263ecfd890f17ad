"""Models and tokenizers from folders: what loads, what is refused, and their fingerprints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from files.errors import InputError
from lm import loading
from lm.adapters import LoRASpec
from lm.loading import LMSpec, freeze, load_model, load_tokenizer, model_hash
from tests.models import ARCHITECTURES, Architecture, random_model

IDS = torch.arange(3, 13).unsqueeze(0)


def test_loaded_model_is_the_saved_one(tiny_lm_dir: Path) -> None:
    model = load_model(LMSpec(str(tiny_lm_dir)))
    assert not model.training and model.dtype == torch.float32
    torch.testing.assert_close(model(IDS).logits, random_model("llama")(IDS).logits, rtol=0, atol=0)


def test_dtype_and_attention(tiny_lm_dir: Path) -> None:
    assert load_model(LMSpec(str(tiny_lm_dir), dtype="bfloat16")).dtype == torch.bfloat16
    assert load_model(LMSpec(str(tiny_lm_dir), dtype="auto")).dtype == torch.float32
    eager = load_model(LMSpec(str(tiny_lm_dir), attn_implementation="eager"))
    torch.testing.assert_close(eager(IDS).logits, load_model(LMSpec(str(tiny_lm_dir)))(IDS).logits)


def test_random_weights_depend_on_the_seed_alone(tiny_lm_dir: Path) -> None:
    state = torch.get_rng_state()
    hashes = [model_hash(load_model(LMSpec(str(tiny_lm_dir), random_init=True, seed=seed))) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_adapter_is_neutral_at_first_and_alone_trainable(tiny_lm_dir: Path) -> None:
    plain = load_model(LMSpec(str(tiny_lm_dir)))
    model = load_model(LMSpec(str(tiny_lm_dir), lora=LoRASpec(r=2, target_modules=["q_proj", "down_proj"])))
    torch.testing.assert_close(model(IDS).logits, plain(IDS).logits, rtol=0, atol=0)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    assert not any(parameter.requires_grad for parameter in freeze(plain).parameters())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_adapter_on_all_linear_layers(arch: Architecture, tmp_path: Path) -> None:
    random_model(arch, layers=1).save_pretrained(tmp_path)
    plain = load_model(LMSpec(str(tmp_path)))
    model = load_model(LMSpec(str(tmp_path), lora=LoRASpec()))
    assert model_hash(model) == model_hash(plain) == model_hash(tmp_path)
    torch.testing.assert_close(model(IDS).logits, plain(IDS).logits, rtol=0, atol=0)


def test_hash_tells_models_apart_but_not_formats(tiny_lm_dir: Path) -> None:
    model = load_model(LMSpec(str(tiny_lm_dir)))
    before = model_hash(model)
    assert before == model_hash(load_model(LMSpec(str(tiny_lm_dir), dtype="bfloat16")))
    assert before != model_hash(random_model("llama", seed=1))
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.down_proj.weight").mul_(1.1)
    assert before != model_hash(model)


def test_tokenizer_gets_a_padding_token(tiny_lm_dir: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(LMSpec(str(tiny_lm_dir)))
    assert tokenizer.pad_token_id == 0
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(LMSpec("unused", tokenizer=str(tmp_path))).pad_token == "<|end|>"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/folder", "no such model folder"),
        ("./nothing", "no such model folder"),
        ("assets/nothing", "no such model folder"),
        ("a/b/c", "no such model folder"),
        ("", "no model was named"),
        ("nobody/nothing", "the (model|tokenizer) cannot be loaded"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    for load in (load_model, load_tokenizer):
        with pytest.raises(InputError, match=message) as error:
            load(LMSpec(name))
        assert error.value.fix or error.value.expected


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no config.json"):
        load_model(LMSpec(str(tmp_path)))
    with pytest.raises(InputError, match="no tokenizer_config.json"):
        load_tokenizer(LMSpec(str(tmp_path)))
    file = tmp_path / "model.bin"
    file.write_text("x")
    with pytest.raises(InputError, match="a model is a folder"):
        load_model(LMSpec(str(file)))


def test_incomplete_damaged_and_pickled_weights(tmp_path: Path) -> None:
    random_model("llama").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.norm.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match="1 weights of the model are missing") as error:
        load_model(LMSpec(str(tmp_path)))
    assert "model.norm.weight" in str(error.value)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(LMSpec(str(tmp_path)))
    weights.unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(LMSpec(str(tmp_path)))


def test_unknown_architecture_needs_no_code_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mystery", "auto_map": {"AutoConfig": "evil.Config"}}')
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(LMSpec(str(tmp_path)))


def test_options_that_do_not_suit(tiny_lm_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(tiny_lm_dir)
    with pytest.raises(InputError, match="adapter does not fit"):
        load_model(LMSpec(name, lora=LoRASpec(target_modules=["no_such_proj"])))
    with pytest.raises(InputError, match="cannot be quantised"):
        load_model(LMSpec(name, random_init=True, quantization="4bit"))
    monkeypatch.setattr(loading, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="not installed") as error:
        load_model(LMSpec(name, quantization="8bit"))
    assert "quant" in str(error.value.fix)


def test_quantised_loading_goes_through_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda _: object())
    four = loading._quantization(LMSpec("x", quantization="4bit", dtype="bfloat16"))
    assert four.load_in_4bit and four.bnb_4bit_compute_dtype == torch.bfloat16
    assert loading._quantization(LMSpec("x", quantization="8bit")).load_in_8bit
