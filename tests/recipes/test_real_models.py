"""Every recipe for a published model builds around a small random model of that architecture, with as many layers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.fit_recipe import needed
from benchmarks.model_shapes import known_settings
from lm.sites import sites_of
from tests.models import VOCABULARY, byte_tokenizer

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}
SMALL_GPT = {"n_embd": 32, "n_head": 4, "n_positions": 256}


def _model_of(path: Path) -> str:
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings["model"]["init_args"]["lm"]["name"]


RECIPES = [
    path
    for path in sorted((*REPOSITORY.glob("configs/*/*.yaml"), *REPOSITORY.glob("configs/eval/*/*.yaml")))
    if path.parent.name != "cluster" and not _model_of(path).startswith(("assets/", "configs/"))
]


def small_copy(name: str, folder: Path) -> Path:
    """A random model with the layers of the published one and hardly any width."""
    settings = {**known_settings()[name], "vocab_size": VOCABULARY}
    small = SMALL_GPT if "n_embd" in settings else {key: value for key, value in SMALL.items() if key != "head_dim"}
    if "head_dim" in settings:
        small = SMALL
    settings |= {key: value for key, value in small.items() if key in settings or key == "n_positions"}
    settings |= {"rotary_dim": 8} if "rotary_dim" in settings else {}
    place = folder / name.replace("/", "--")
    if not place.is_dir():
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).save_pretrained(place)
        byte_tokenizer().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return tmp_path_factory.mktemp("copies")


def test_there_are_recipes_for_every_model_and_every_model_is_known():
    named = {_model_of(path) for path in RECIPES}
    assert named <= known_settings().keys()
    for family in (
        "gpt-j",
        "gpt2-xl",
        "Llama-2-7b",
        "Llama-3-8B",
        "Llama-3.1-8B",
        "Qwen2.5-7B",
        "Qwen3-8B",
        "Mistral-7B",
    ):
        assert any(family in name for name in named), family
    assert any("gemma-2-9b" in name for name in named)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recipe_builds_around_a_small_copy(recipe, copies):
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    options = settings["model"]["init_args"]
    # Neither the run that it goes on from is here, nor a library for quantised weights.
    options.pop("init_from", None)
    options["lm"].pop("quantization", None)
    options["lm"]["name"] = str(small_copy(options["lm"]["name"], copies))
    settings["data"]["init_args"]["lm"] = options["lm"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningModule, "model")
    parser.add_subclass_arguments(LightningDataModule, "data")
    parser.add_argument("--callbacks", type=list[Callback])
    callbacks = [*settings["trainer"].get("callbacks", []), *settings.get("baselines", [])]
    given = {"model": settings["model"], "data": settings["data"], "callbacks": callbacks}
    built = parser.instantiate(parser.parse_object(given))
    built.model.configure_model()
    trained = sum(value.numel() for value in built.model.parameters() if value.requires_grad)
    assert (
        sites_of(built.model.lm).num_layers
        == AutoConfig.for_model(**known_settings()[_model_of(recipe)]).num_hidden_layers
    )
    assert (trained > 0) == ("EvalModule" not in settings["model"]["class_path"])
    assert len(built.callbacks) == len(callbacks)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_recipe_needs_is_known_beforehand(recipe):
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    need = needed(settings)
    weights = need.parts["weights"]
    assert weights > 1e9 and weights < need.total < 40 * weights


def test_the_guide_names_every_recipe_and_none_that_is_not_there():
    guide = (REPOSITORY / "docs/reproduction.md").read_text(encoding="utf-8")
    named = set(re.findall(r"configs/[\w./-]+\.yaml", guide))
    assert {str(path.relative_to(REPOSITORY)) for path in RECIPES} <= named
    assert not [name for name in named if not (REPOSITORY / name).is_file()]
