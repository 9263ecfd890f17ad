"""What every test relies on: no network, one thread, the folders of golden and real data, and a tiny model."""

from __future__ import annotations

import os
from pathlib import Path

# Before any import of a Hugging Face library, which reads them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# Lightning 2.6 calls jsonargparse 4.53 by a name that the latter is giving up.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.models import byte_tokenizer, random_model

REPOSITORY = Path(__file__).resolve().parents[1]
# The models here are so small that a second thread costs more than it brings, and sums stay in one order.
torch.set_num_threads(1)


def _shared_folder(variable: str, default: str) -> Path:
    """The folder an environment variable names; a set one must be there, an absent default skips the test."""
    value = os.environ.get(variable)
    folder = Path(value) if value else (REPOSITORY / default).resolve()
    filled = folder.is_dir() and any(folder.iterdir())
    if value is not None and not filled:
        pytest.fail(f"{variable} is set to {value!r}, which is missing or empty; correct it or unset it", pytrace=False)
    if not filled:
        pytest.skip(f"{variable} is not set and {default} is absent")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of the recorded reference outputs: GOLDEN_DIR, by default ../shared/golden."""
    return _shared_folder("GOLDEN_DIR", "../shared/golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets: DATA_DIR, by default ../shared/data."""
    return _shared_folder("DATA_DIR", "../shared/data")


@pytest.fixture
def tiny_lm() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A fresh random 2-layer Llama in float32 and its byte-level tokenizer."""
    return random_model("llama"), byte_tokenizer()


@pytest.fixture(scope="session")
def tiny_lm_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model saved to a folder, as `LMSpec(name=...)` reads it; tests must not write there."""
    folder = tmp_path_factory.mktemp("tiny-lm")
    random_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
