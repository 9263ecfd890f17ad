"""The work of the scaling curves, at any size, as calls that do it once."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from benchmarks.pas_people import learn, write_people
from datamodules.papi import PapiDataModule
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.outer import OuterOptions
from editors.records import EditBatch, EditRecord
from editors.selection import select_weights
from editors.training import judged_edits
from lightning_modules.sft import answers_loss
from lm.chat import TokenBatch
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from lm.scoring import choose
from lm.sites import sites_of

MODEL, PAPI = "assets/tiny-ocean", "assets/data/papi"
VOCABULARY, ROW = 4096, 128
OPINIONS, OPINION, EDITED = 3, 48, 64
Work = Callable[[], object]


@dataclass(frozen=True)
class Curve:
    """A piece of work at several sizes.

    Attributes:
        name: What the sizes count.
        sizes: Rising.
        work: The work of a size, ready to be done.
        rounds: How often every size is timed.
    """

    name: str
    sizes: tuple[int, ...]
    work: Callable[[int], Work]
    rounds: int = 5


def people(count: int) -> Work:
    """Learn so many made-up people on the built-in model."""
    warnings.filterwarnings("ignore", module="lightning")

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_people(Path(folder), count)
            learn(Path(folder))

    return work


def items(count: int) -> Work:
    """Ask so many different questions with five options each."""
    spec = LMSpec(MODEL)
    data = PapiDataModule(spec, PAPI, people=1)
    data.setup("test")
    asked = data.batch([0]).questions.choices
    questions = [asked[place % len(asked)] for place in range(count)]
    prompts = [
        [{"role": "system", "content": f"Round {place // len(asked)}."}, *question.prompt]
        for place, question in enumerate(questions)
    ]
    options = [question.options for question in questions]
    model, tokenizer = freeze(load_model(spec)), load_tokenizer(spec)
    return lambda: choose(model, tokenizer, prompts, options, batch_size=64)


def topics(count: int) -> Work:
    """A MEND step with so many edits."""
    model = random_model(layers=4).requires_grad_(False)
    sites = sites_of(model)
    weights = select_weights(sites, last=2, weights=["down"])
    halves = ModelHalves(model, [sites.block(k) for k in range(sites.num_layers)], weights.first)
    network = Hypernetwork(weights.shapes(), -0.003, TransformOptions(rank=64))
    batch, options = edits(count), OuterOptions(chunk_tokens=1024)

    def work() -> None:
        network.zero_grad()
        judged_edits(halves, network, weights.modules, batch, options).surrogate.backward()

    return work


def batch(rows: int) -> Work:
    """An SFT step of so many rows."""
    return _sft_step(random_model(layers=4), rows)


def layers(count: int) -> Work:
    """An SFT step of a model with so many layers."""
    return _sft_step(random_model(count), rows=4)


def random_model(layers: int) -> PreTrainedModel:
    """A Llama of some width with so many layers and random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=layers,
        num_attention_heads=6,
        vocab_size=VOCABULARY,
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def edits(count: int) -> EditBatch:
    """So many edits with a few opinions each on its topic and on another, all of random tokens."""
    generator = torch.Generator().manual_seed(1)

    def texts(rows: int, length: int) -> TokenBatch:
        ids = torch.randint(0, VOCABULARY, (rows, length), generator=generator)
        return TokenBatch(ids, torch.ones_like(ids), torch.arange(length).expand(rows, length) >= length // 3)

    rows, record = count * OPINIONS, torch.arange(count).repeat_interleave(OPINIONS)
    return EditBatch(
        edit=texts(count, EDITED),
        outer=texts(rows, OPINION),
        outer_record=record,
        same_mask=torch.arange(rows) % OPINIONS == 0,
        scored=torch.ones(rows, dtype=torch.bool),
        locality=texts(rows, OPINION),
        locality_record=record,
        records=[EditRecord(f"topic {number}", "extraversion") for number in range(count)],
    )


def _sft_step(lm: PreTrainedModel, rows: int) -> Work:
    ids = torch.randint(0, VOCABULARY, (rows, ROW), generator=torch.Generator().manual_seed(2))
    positions = torch.arange(ROW).expand(rows, ROW)
    weights = (positions >= ROW // 2).float()

    def work() -> None:
        lm.zero_grad()
        answers_loss(lm, ids, positions, weights).backward()

    return work


CURVES = {
    curve.name: curve
    for curve in (
        Curve("people", (20, 40, 80), people, rounds=2),
        Curve("items", (150, 300, 600, 1200), items, rounds=3),
        Curve("topics", (2, 4, 8, 16), topics),
        Curve("batch", (2, 4, 8, 16), batch),
        Curve("layers", (4, 8, 16, 32), layers),
    )
}
