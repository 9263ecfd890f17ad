"""A MEND training step against a plain reference of the published procedure: time, memory, and whether both agree.

`python -m benchmarks.mend` (or `make bench-mend`) writes `benchmarks/mend.json`:

- `max_abs_diff`: largest difference of losses and gradients of the first step; each gradient is divided by the
  reference's largest entry, the losses are taken as they are
- `speedup`: time of the reference over ours, the median of interleaved pairs of steps in one process; a step is from
  the batch to the gradients in `grad` (what optimiser and clipping then do is the same for both)
- `memory_ratio`: ours over the reference's peak of resident memory during a step, each in a process of its own, above
  what both must hold: model, hypernetwork, its gradients and both moments of Adam. Each process makes one step before
  the one that is measured, and gives freed memory back to the system, so that what is counted is what is held.

Both sides start from the same random weights. The network's are moved away from the identity, so that every parameter
has a gradient, and from the kink of the maximum, where rounding alone would decide whether a gradient passes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.memory import give_memory_back, peak_above
from benchmarks.plain_mend import PlainMEND
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.outer import OuterOptions
from editors.records import EditBatch, EditRecord
from editors.selection import select_weights
from editors.training import judged_edits
from files.atomic import write_json
from files.provenance import commit_hash, library_versions
from lm.chat import TokenBatch
from lm.sites import sites_of

RESULT = Path(__file__).with_name("mend.json")
PAIRS = 5
VOCABULARY = 8192
CHUNK_TOKENS = 200


class Contest:
    """Both sides on the same model, network and batch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=1024,
            intermediate_size=2816,
            num_hidden_layers=24,
            num_attention_heads=16,
            num_key_value_heads=16,
            vocab_size=VOCABULARY,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
        sites = sites_of(model)
        self.weights = select_weights(sites, last=3, weights=["gate", "up", "down"])
        self.halves = ModelHalves(model, [sites.block(k) for k in range(sites.num_layers)], self.weights.first)
        self.network = Hypernetwork(self.weights.shapes(), -0.003, TransformOptions(rank=1920, clip=None))
        _move_from_the_start(self.network)
        self.batch = one_record()
        # Both sides count all tokens of a text, as the published step does.
        self.options = OuterOptions(counted="all", chunk_tokens=CHUNK_TOKENS)
        self.plain = PlainMEND(model, self.network, self.options.cedit, self.options.cloc)
        self.held = [torch.zeros_like(p) for p in self.network.parameters() for _ in range(2)]  # Adam's two moments
        self.clear()

    def clear(self) -> None:
        """Set the gradients to zero; they stay allocated, as between the batches of one optimiser step."""
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.zero_()

    def ours(self) -> list[Tensor]:
        """Our step: its losses; gradients are added."""
        judged = judged_edits(self.halves, self.network, self.weights.modules, self.batch, self.options)
        judged.surrogate.backward()
        return [judged.losses.edit.mean(), judged.losses.locality.mean(), judged.losses.total]

    def reference(self) -> list[Tensor]:
        """The plain step."""
        losses = self.plain.step(self.batch)
        return [losses.edit, losses.locality, losses.total]

    def difference(self) -> float:
        """Largest difference of losses and scaled gradients; both sides must be fresh."""
        self.clear()
        losses = self.reference()
        gradients = [p.grad.clone() for p in self.network.parameters() if p.grad is not None]
        self.clear()
        differences = [(a - b).abs() for a, b in zip(self.ours(), losses, strict=True)]
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            if parameter.grad is not None:
                differences.append((parameter.grad - gradient).abs().max() / gradient.abs().max())
        return max(value.item() for value in differences)


def _move_from_the_start(network: Hypernetwork) -> None:
    """Give every parameter a gradient, and keep the argument of every maximum well away from zero."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(".u"):
                parameter.normal_(std=1e-5)
            elif name.endswith("mode_shift"):
                parameter.copy_((torch.rand_like(parameter) - 0.5).sign() * 0.2)


def one_record() -> EditBatch:
    """One text of 64 tokens, nine opinions and nine on another topic of 48 each, all of random tokens."""
    generator = torch.Generator().manual_seed(1)

    def texts(rows: int, length: int) -> TokenBatch:
        ids = torch.randint(0, VOCABULARY, (rows, length), generator=generator)
        return TokenBatch(ids, torch.ones_like(ids), torch.arange(length).expand(rows, length) >= length // 3)

    return EditBatch(
        edit=texts(1, 64),
        outer=texts(9, 48),
        outer_record=torch.zeros(9, dtype=torch.long),
        same_mask=torch.arange(9) % 3 == 0,
        scored=torch.ones(9, dtype=torch.bool),
        locality=texts(9, 48),
        locality_record=torch.zeros(9, dtype=torch.long),
        records=[EditRecord("topic", "extraversion")],
    )


def seconds(step: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call."""
    start = clock()
    step()
    return clock() - start


def peak_of(side: str) -> float:
    """Peak memory of one side's step, in mebibytes, measured in this process."""
    give_memory_back()
    contest = Contest()
    step = contest.ours if side == "ours" else contest.reference
    step()
    return peak_above(step)


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mend", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--peak-of", choices=("ours", "reference"), help="only measure this side's memory, and print it"
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    if options.peak_of:
        Console(soft_wrap=True).print(json.dumps(peak_of(options.peak_of)))
        return
    peaks = {}
    for side in track(("ours", "reference"), "memory", console=console):
        command = [sys.executable, "-m", "benchmarks.mend", "--peak-of", side]
        peaks[side] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    contest = Contest()
    difference = contest.difference()
    times = [
        (seconds(contest.reference), seconds(contest.ours))
        for _ in track(range(PAIRS), "pairs of steps", console=console)
    ]
    figures = {
        "speedup": statistics.median(reference / ours for reference, ours in times),
        "memory_ratio": peaks["ours"] / peaks["reference"],
        "max_abs_diff": difference,
        "seconds_ours": statistics.median(ours for _, ours in times),
        "seconds_reference": statistics.median(reference for reference, _ in times),
        "peak_mb_ours": peaks["ours"],
        "peak_mb_reference": peaks["reference"],
        "chunk_tokens": CHUNK_TOKENS,
        "threads": torch.get_num_threads(),
        "versions": library_versions(),
        "commit": commit_hash(),
    }
    write_json(options.output, figures)
    for name, value in figures.items():
        console.print(f"{name:>20} {value:.4g}" if isinstance(value, float) else f"{name:>20} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
