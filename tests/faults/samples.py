"""Small whole files of every kind that is read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.autoencoder_files import write_autoencoder
from interventions.bundle import save_bundle
from interventions.places import places_of
from lightning_modules.sft import SFTModule
from lm.loading import LMSpec
from personas.item_key import read_item_key
from tests.conftest import REPOSITORY
from tests.models import random_model
from tests.papi import as_csv, item_row, person_row
from tests.unit.interventions.steered import shift_heads
from tests.unit.interventions.test_bundle import bundle_of

DATA = REPOSITORY / "assets" / "data"
ITEMS = 6
USER, ASSISTANT = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}


def as_json(*records: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(records).encode()


def as_lines(*records: Any) -> Callable[[], bytes]:
    return lambda: "".join(f"{json.dumps(record)}\n" for record in records).encode()


def text(content: str) -> Callable[[], bytes]:
    return content.encode


def asset(path: str, length: int | None = None) -> Callable[[], bytes]:
    """A file of this project; of a list the first records."""

    def cut() -> bytes:
        content = (REPOSITORY / path).read_bytes()
        return content if length is None else json.dumps(json.loads(content)[:length]).encode()

    return cut


@cache
def items():
    rows = [item_row(number) for number in range(ITEMS)]
    file = _scratch("items.csv", as_csv(rows).encode())
    return read_item_key(file)


def _scratch(name: str, content: bytes) -> Path:
    file = Path(tempfile.mkdtemp(prefix="readers-")) / name
    file.write_bytes(content)
    return file


@cache
def model():
    return random_model()


@cache
def bundle() -> bytes:
    made = bundle_of(model(), shift_heads(places_of(model())))
    return save_bundle(_scratch("a.safetensors", b""), made).read_bytes()


@cache
def autoencoder() -> bytes:
    network = SparseAutoencoder(AutoencoderForm("standard", 8, 16))
    return (
        write_autoencoder(_scratch("a", b"").parent, network, 1, "a-model") / "sae_weights.safetensors"
    ).read_bytes()


@cache
def checkpoint() -> bytes:
    module = SFTModule(LMSpec("a-model"))
    module.register_parameter("weight", torch.nn.Parameter(torch.arange(64.0)))
    content: dict[str, Any] = {"state_dict": module.state_dict(), "global_step": 3}
    module.on_save_checkpoint(content)
    file = _scratch("last.ckpt", b"")
    torch.save(content, file)
    return file.read_bytes()


def beside(file: Path, name: str, content: bytes) -> Path:
    """Another file in the same folder; its folder."""
    other = file.parent / name
    if not other.exists():
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(content)
    return file.parent


def result(**changes: Any) -> dict[str, Any]:
    texts = {"benchmark": "trait", "method": "ike", "model": "m", "persona": "all", "metric": "score"}
    numbers = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 9, "base_value": 0.1, "seed": 1, "seconds": 2.0}
    rest = {"schema": 1, "versions": {}, "commit": None, "data_hash": "x", "judge": None, "cost": None}
    return {**rest, **texts, **numbers, "peak_memory_mb": 9.0, **changes}


def dialogue(number: int) -> dict[str, Any]:
    return {
        **{"id": f"d-{number}", "character": "Ada", "stage": None, "pattern": None, "passage": "p-1", "style": ["p-2"]},
        **{"messages": [{"role": "system", "content": "Be."}, USER, ASSISTANT], "backend": "b", "analysis": None},
    }


PEOPLE = [person_row(number, ITEMS) for number in range(3)]
TOLD = {"id": "e-1", "test": "t", "character": "Ada", "stage": "late", "kind": "k", "answer": "I.", "right": 0}
ITEM_ROWS = [[*item_row(0)], *([*item_row(number).values()] for number in range(ITEMS))]
SAMPLE = {"prompt": "Who?", "base": "I.", "persona": "I!"}
RECORD = {
    **{"method": "ike", "id": "r-1", "order": 0, "persona": {"name": "p", "levels": {"openness": 1.0}}},
    **{"base": {"a": 0.5}, "values": {"a": 1.0}, "samples": [SAMPLE]},
}
CHARACTERS = "characters:\n  - name: Ada\n    knowledge: a.txt\n    style: b.txt\n    stage: early\n    when: in 1840\n"
ALONE = CHARACTERS.replace("    style: b.txt\n", "").encode()
SETTINGS = "seed_everything: 1\ntrainer:\n  default_root_dir: runs/x\n  callbacks: [{a: &a 1, b: *a}]\n"
