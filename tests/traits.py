"""Small TRAIT and PersonalityBench data sets for tests, opinions to show, and a run of any evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch import LightningDataModule, Trainer

from callbacks.report import Report
from callbacks.results_json import ResultsJson
from lightning_modules.evaluation import EvalModule
from lm.loading import LMSpec
from personas.traits import BIG_FIVE, TRAITS


def trait_record(number: int, **changes) -> dict:
    """One item in the published schema; its trait goes round all eight."""
    said = {f"response_{level}{k}": f"I {level} {number} {k}." for level in ("high", "low") for k in (1, 2)}
    named = {"personality": TRAITS[number % len(TRAITS)].title(), "situation": f"It is {number}.", "query": "And now?"}
    return {**named, **said, "idx": number, "split": "test", **changes}


def write_trait(folder: Path, count: int = 8) -> Path:
    """Write TRAIT.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "TRAIT.json").write_text(json.dumps([trait_record(n) for n in range(count)]), encoding="utf-8")
    return folder


def write_bench(folder: Path, count: int = 3, traits: Iterable[str] = BIG_FIVE) -> Path:
    """Write test and search questions, and descriptions."""
    for part in ("test", "search"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for trait in traits:
            lines = [json.dumps({"question": f"What of {trait} {part} {n}?"}) for n in range(count)]
            (folder / part / f"{trait.title()}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_descriptions(folder / "description.json")
    return folder


def write_descriptions(path: Path, without: str = "", count: int = 2) -> Path:
    """Write descriptions of both ends of the five traits."""
    keys = [f"{trait.title()}{end}" for trait in BIG_FIVE for end in ("", "_reversed")]
    lines = [{key: f"You are {key} {n}." for key in keys if key != without} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_demonstrations(path: Path, count: int = 6) -> Path:
    """Write opinions of both ends of the five traits."""
    keys = [f"{trait}{end}" for trait in BIG_FIVE for end in ("", "_reversed")]
    records = [
        {"ent": f"Thing {n}", **{key: [f"{key} {n} {k}." for k in range(2)] for key in keys}} for n in range(count)
    ]
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def evaluate(lm_dir: Path, data: LightningDataModule, root: Path, callbacks=(), **options) -> dict[str, dict]:
    """Evaluate in this process; the rows of results.json by metric."""
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=root,
        logger=False,
        inference_mode=False,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[*callbacks, ResultsJson(), Report()],
    )
    trainer.test(EvalModule(LMSpec(str(lm_dir)), **{"max_new_tokens": 4, **options}), datamodule=data)
    return {row["metric"]: row for row in json.loads((root / "results.json").read_text(encoding="utf-8"))}
