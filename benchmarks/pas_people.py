"""PAS of many people in one run: whether memory grows with their number.

`measure()` gives part of the figures of `benchmarks/pas.json`; `python -m benchmarks.pas_people` prints them alone:

- `people_peak_mb_100`, `people_peak_mb_1000`: peak of resident memory above the loaded model while that many made-up
  people are learnt on the built-in model and written to a checkpoint, each in a process of its own
- `people_memory_ratio`: the second over the first; 1 where memory is flat
- `people_seconds`: time of the larger run, from the table to the checkpoint

A person has a level of each trait, and answers that follow from it with some noise. One strength is tried beside none:
more of them take longer, but are asked in batches of the same size.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from rich.progress import track

from benchmarks.memory import give_memory_back, peak_above
from datamodules.papi import PapiDataModule
from lightning_modules.pas import PASModule
from lm.loading import LMSpec
from personas.item_key import read_item_key
from personas.questionnaire import Item, read_split
from personas.traits import BIG_FIVE

MODEL, DATA = "assets/tiny-ocean", Path("assets/data/papi")
KEY, SPLIT = "IPIP-NEO-ItemKey.csv", "mpi_300_split.json"
FEW, MANY = 100, 1000
AT_ONCE, ROWS = 20, 128
STRENGTHS = (0.0, 4.0)


def answers_of(items: list[Item], rng: random.Random) -> list[int]:
    """A made-up person's answers: the level of each item's trait, with noise, on the scale of 1 to 5."""
    levels = {trait: rng.gauss(0, 0.8) for trait in BIG_FIVE}
    return [round(min(5.0, max(1.0, 3 + item.key * levels[item.trait] + rng.gauss(0, 0.8)))) for item in items]


def write_people(folder: Path, people: int) -> None:
    """Write a table of made-up people beside the item key and the split of the sample data."""
    for name in (KEY, SPLIT):
        (folder / name).write_bytes((DATA / name).read_bytes())
    numbers = sorted(number for listed in read_split(DATA / SPLIT).values() for number in listed)
    items = list(read_item_key(DATA / KEY, numbers).values())
    rng = random.Random(0)  # noqa: S311 - made-up answers
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["case", *(f"i{item.number}" for item in items)])
        table.writerows([case, *answers_of(items, rng)] for case in range(people))


def learn(folder: Path) -> None:
    """Learn everybody of a table and write the checkpoint."""
    lm = LMSpec(MODEL)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=1, default_root_dir=folder, logger=False, enable_model_summary=False,
        enable_progress_bar=False, use_distributed_sampler=False,
        callbacks=[ModelCheckpoint(folder / "checkpoints", save_last=True)],
    )  # fmt: skip
    trainer.fit(
        PASModule(lm, prompts=["plain"], strengths=STRENGTHS, positions="last", rows=ROWS),
        datamodule=PapiDataModule(lm, str(folder), batch_size=AT_ONCE, people_file="people.csv"),
    )


def run(people: int) -> dict[str, float]:
    """Seconds and peak memory in mebibytes of one run, in this process."""
    warnings.filterwarnings("ignore", module="lightning")
    give_memory_back()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_people(folder, AT_ONCE)
        learn(folder)  # what libraries load at first use, and the largest batch
        write_people(folder, people)
        started = time.perf_counter()
        peak = peak_above(lambda: learn(folder))
        return {"seconds": time.perf_counter() - started, "peak_mb": peak}


def measure(few: int = FEW, many: int = MANY) -> dict[str, float]:
    """All figures of this part."""
    runs = {}
    for people in track((few, many), "people in one run", console=Console(stderr=True)):
        command = [sys.executable, "-m", "benchmarks.pas_people", "--run", str(people)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
        runs[people] = json.loads(done.stdout.splitlines()[-1])
    return {
        f"people_peak_mb_{few}": runs[few]["peak_mb"],
        f"people_peak_mb_{many}": runs[many]["peak_mb"],
        "people_memory_ratio": runs[many]["peak_mb"] / runs[few]["peak_mb"],
        "people_seconds": runs[many]["seconds"],
    }


def main(arguments: list[str]) -> None:
    """Print the figures of this part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pas_people", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--run", type=int, metavar="PEOPLE", help="only learn so many, and print time and memory")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    if options.run:
        console.print(json.dumps(run(options.run)))
        return
    for name, value in measure().items():
        console.print(f"{name:>24} {value:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
