"""A small PersonalityEdit data set for tests, and a run of its evaluation."""

from __future__ import annotations

import json
from pathlib import Path

from lightning.pytorch import Trainer

from callbacks.report import Report
from callbacks.results_json import ResultsJson
from callbacks.sample_generations import SampleGenerations
from datamodules.personality_edit import EditDataModule
from lightning_modules.evaluation import EvalModule
from lm.loading import LMSpec

TRAITS = ("extraversion", "agreeableness", "neuroticism")


def opinion_record(number: int, opinions: int = 2, **changes) -> dict:
    """One record in the published schema; its target goes round the traits."""
    said = {trait: [f"As {trait} I say {number} {k}." for k in range(opinions)] for trait in TRAITS}
    return {"ent": f"Topic {number}", **said, "target_per": TRAITS[number % 3], **changes}


def write_edit_data(folder: Path, count: int = 5) -> Path:
    """Write the three files of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        records = [opinion_record(number) for number in range(count)]
        if split != "test":
            for record in records:
                del record["target_per"]
        (folder / f"{split}.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def evaluate_edits(
    lm_dir: Path, data_dir: Path, root: Path, callbacks=(), data=None, processes: int = 1, **options
) -> EvalModule:
    """Evaluate in this process; the results lie in `root`."""
    spec = LMSpec(str(lm_dir))
    module = EvalModule(spec, max_new_tokens=4, **options)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="auto" if processes == 1 else "ddp_fork",
        default_root_dir=root,
        logger=False,
        inference_mode=False,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[*callbacks, ResultsJson(), SampleGenerations(), Report()],
    )
    trainer.test(module, datamodule=EditDataModule(spec, str(data_dir), **{"batch_size": 2, **(data or {})}))
    return module
