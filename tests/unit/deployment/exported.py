"""Models on disk, bundles of them, and what other programs make of what `export.py` writes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import export
from interventions.applied import Intervention
from interventions.bundle import Bundle, facts_of, save_bundle
from interventions.weights import LowRankEdit
from lm.loading import LMSpec, load_model
from tests.models import Architecture, byte_tokenizer, random_model
from tests.unit.interventions.steered import batch, logits, texts

GIVEN = batch(texts(), "left")
CLOSE = {"rtol": 0.0, "atol": 1e-4}


def model_folder(folder: Path, arch: Architecture = "llama", layers: int = 2) -> Path:
    random_model(arch, layers).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def bundled(folder: Path, lm: Path, method: str, personas: tuple[str, ...], make) -> tuple[Path, Tensor]:
    """A bundle on disk, and the logits of each row of `GIVEN` under its first persona."""
    model = load_model(LMSpec(str(lm)))
    intervention: Intervention = make(model)
    bundle = Bundle(intervention, method, personas, facts_of(model))
    path = save_bundle(folder / f"{method}.safetensors", bundle)
    first = bundle.only(personas[0]).intervention
    if isinstance(intervention, LowRankEdit) and len(personas) > 1:
        first = intervention.only(0)
    inside = logits(model, GIVEN, first)
    # What does nothing proves nothing.
    assert (inside - logits(model, GIVEN)).abs().max() > 1e-2
    return path, inside


def written(capsys, *arguments: object) -> str:
    """Run `export.py`, which must end well."""
    capsys.readouterr()
    export.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def plain_logits(folder: Path) -> Tensor:
    """What transformers makes of a folder by itself."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return logits(model, GIVEN)
