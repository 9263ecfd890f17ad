"""A small PAPI data set for tests, and runs of PAS and of the evaluation on it."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.report import Report
from callbacks.results_json import ResultsJson
from callbacks.sample_generations import SampleGenerations
from datamodules.papi import PapiDataModule
from lightning_modules.evaluation import EvalModule
from lightning_modules.pas import PASModule
from lm.loading import LMSpec
from personas.wording import Wording

LETTERS = "OCEAN"
ITEMS, DESCRIBING = 40, 20


def answers_of(person: int, items: int = ITEMS) -> list[int]:
    """Answers of somebody whose traits follow from the number."""
    rng = Random(person)
    levels = {letter: rng.choice((-1, 1)) for letter in LETTERS}
    return [3 + key_of(item) * levels[letter_of(item)] * rng.choice((1, 2)) for item in range(items)]


def letter_of(item: int) -> str:
    return LETTERS[item % len(LETTERS)]


def key_of(item: int) -> int:
    return 1 if (item // len(LETTERS)) % 2 == 0 else -1


def person_row(person: int, items: int = ITEMS, **changes) -> dict:
    """One person in the published schema."""
    row = {"case": 100 + person, "sex": 1, "age": 30, "country": "Norland"}
    return {**row, **{f"i{n + 1}": answer for n, answer in enumerate(answers_of(person, items))}, **changes}


def item_row(item: int, **changes) -> dict:
    """One item of the item key in the published schema."""
    code = f"{letter_of(item)}{item // 10 % 6 + 1}"
    sign = "+" if key_of(item) > 0 else "-"
    row = {"Full#": item + 1, "Short#": item + 1 if item < DESCRIBING else "", "Sign": f"{sign}{code}", "Key": code}
    return {**row, "Facet": "Trust", "Item": f"Do thing {item}.", **changes}


def as_csv(rows: list[dict]) -> str:
    lines = [",".join(map(str, rows[0])), *(",".join(map(str, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


def write_papi(folder: Path, people: int = 4, items: int = ITEMS, describing: int = DESCRIBING) -> Path:
    """Write every file of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [person_row(person, items) for person in range(people)]
    (folder / "Test-set.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "IPIP-NEO-ItemKey.csv").write_text(as_csv([item_row(item) for item in range(items)]), encoding="utf-8")
    numbers = list(range(1, items + 1))
    split = {"train_index": numbers[:describing], "test_index": numbers[describing:]}
    (folder / "mpi_300_split.json").write_text(json.dumps(split), encoding="utf-8")
    written = [{"output": [f"You are person {person}."]} for person in range(people)]
    (folder / "personality_prompt.json").write_text(json.dumps(written), encoding="utf-8")
    return folder


def changed_papi(tmp_path: Path, people: int = 5, **changes) -> Path:
    """Write every file of a data set whose first person answers otherwise."""
    other = write_papi(tmp_path / "other", people=people)
    rows = [person_row(0, **changes), *(person_row(person) for person in range(1, people))]
    (other / "Test-set.json").write_text(json.dumps(rows), encoding="utf-8")
    return other


SHORT = Wording(question="Me? {statement}", description="{items}", described_item="{statement}{letter}")
"""Words that leave room for a description in the 512 positions of a tiny model."""


def people_data(lm_dir: Path, data_dir: Path, **options) -> PapiDataModule:
    return PapiDataModule(LMSpec(str(lm_dir)), str(data_dir), **{"batch_size": 2, "wording": SHORT, **options})


def learn_people(
    lm_dir: Path, data_dir: Path, root: Path, processes: int = 1, data=None, callbacks=(), **options
) -> Path:
    """Train PAS in this process; the path of its checkpoint."""
    settings = {"heads": 3, "strengths": [0.0, 2.0, 6.0], "rows": 32, **options}
    everything = [ModelCheckpoint(root / "checkpoints", save_last=True), *callbacks]
    trainer = Trainer(**quiet(root, processes), max_epochs=1, callbacks=everything)
    trainer.fit(PASModule(LMSpec(str(lm_dir)), **settings), datamodule=people_data(lm_dir, data_dir, **(data or {})))
    return root / "checkpoints" / "last.ckpt"


def evaluate_people(
    lm_dir: Path, data_dir: Path, root: Path, callbacks=(), baselines=(), processes: int = 1, data=None, **options
) -> EvalModule:
    """Evaluate in this process; the results lie in `root`."""
    for callback in baselines:
        callback.baseline = True
    module = EvalModule(LMSpec(str(lm_dir)), **{"rows": 32, "max_new_tokens": 4, **options})
    everything = [*callbacks, *baselines, ResultsJson(), SampleGenerations(), Report()]
    trainer = Trainer(**quiet(root, processes), inference_mode=False, callbacks=everything)
    trainer.test(module, datamodule=people_data(lm_dir, data_dir, **(data or {})))
    return module


def quiet(root: Path, processes: int) -> dict:
    return {
        "accelerator": "cpu",
        "devices": processes,
        "strategy": "auto" if processes == 1 else "ddp_fork",
        "default_root_dir": root,
        "logger": False,
        "use_distributed_sampler": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
