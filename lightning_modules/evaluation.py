"""Puts a benchmark's questions to a model as it is and under a method, and turns the answers into figures."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule

from files.errors import InputError
from files.journal import Journal
from files.provenance import data_hash
from lightning_modules.answering import AnswerSettings, Respondent, RowIntervention, answer_all
from lightning_modules.trained import TrainedMethod, load_trained
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from metrics.benchmark import Benchmark
from metrics.outcome import Outcome, RecordScores
from personas.questions import Questions

NO_METHOD = "none"


@runtime_checkable
class QuestionBatch(Protocol):
    """What a benchmark's data module yields: its questions, beside whatever a method needs to know."""

    questions: Questions


@runtime_checkable
class BenchmarkData(Protocol):
    """What an evaluation asks of a data module.

    Attributes:
        benchmark: Turns answers into figures.
    """

    benchmark: Benchmark

    def data_files(self) -> list[Path]:
        """The files the questions come from."""

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the questions depend on, as JSON objects."""


class EvalModule(LightningModule):
    """Asks a model every question of a benchmark, as base and under a method, and keeps the scores of each record.

    The method is a trained module's checkpoint, a callback, or none. A callback names itself with `adopt` before the
    first batch and calls `steer` in `on_test_batch_start`, unless `is_done` says that the batch needs no answers.

    Scores are written to the run's folder as they arrive, so that a killed evaluation goes on where it stopped.

    Args:
        lm: The language model.
        ckpt_path: Checkpoint of a trained module to evaluate; `evaluate.py` sets it from `--ckpt_path`.
        method: What results call the method; by default what the checkpoint or the callback calls itself.
        max_new_tokens: Longest free answer, in tokens.
        temperature: 0 takes the likeliest token each time; above it tokens are drawn.
        top_p: Share of probability that drawing is limited to.
        rows: Questions answered in one forward pass; more is faster and takes more memory.
        seed: Seed of everything that is drawn; `evaluate.py` sets it from `--seed_everything`.
    """

    def __init__(
        self,
        lm: LMSpec,
        ckpt_path: str | None = None,
        method: str | None = None,
        max_new_tokens: int = 60,
        temperature: float = 0.0,
        top_p: float = 1.0,
        rows: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = lm
        self.ckpt_path = ckpt_path
        self.answers = AnswerSettings(max_new_tokens, temperature, top_p, rows, seed)
        self.trained: TrainedMethod | None = None
        self.outcome: Outcome | None = None
        self._method = method
        self._method_settings: Mapping[str, Any] = {}
        self._steering: tuple[RowIntervention | None, Questions | None] | None = None
        self._done: dict[str, RecordScores] = {}
        self._seconds = 0.0
        self._journal: Journal | None = None

    def configure_model(self) -> None:
        """Load the model and, where there is a checkpoint, the trained module on top of it."""
        if hasattr(self, "lm"):
            return
        self.answers.check()
        self.tokenizer = load_tokenizer(self.spec)
        if self.ckpt_path is None:
            self.lm = freeze(load_model(self.spec))
            return
        self.trained = load_trained(self.ckpt_path, self.spec)
        self.lm = self.trained.base
        self._method_settings = {"checkpoint": data_hash(self.ckpt_path)}

    @property
    def method(self) -> str:
        """What results call the method."""
        if self._method is not None:
            return self._method
        return self.trained.name if self.trained is not None else NO_METHOD

    def adopt(self, name: str, settings: Mapping[str, Any]) -> None:
        """Let a callback say which method it is, before the first batch.

        Args:
            name: What results call it, unless the evaluation was given a name.
            settings: All its answers depend on, as JSON objects; scores kept from a run with others are not used.
        """
        self._method = self._method or name
        self._method_settings = {**self._method_settings, name: dict(settings)}

    def steer(self, intervention: RowIntervention | None = None, questions: Questions | None = None) -> None:
        """Say how the coming batch is answered under the method; forgotten after the batch.

        Args:
            intervention: One row per record of the batch; None leaves the model as it is.
            questions: The batch's questions with rewritten prompts; None leaves them as they are.
        """
        self._steering = (intervention, questions)

    def is_done(self, batch: QuestionBatch) -> bool:
        """Whether all records of a batch were scored by an earlier run of this evaluation."""
        return all(name in self._done for name in batch.questions.ids)

    def on_test_start(self) -> None:
        """Pick up what an earlier run of the same evaluation got done."""
        data = self._data()
        self._journal = Journal(
            Path(self.trainer.default_root_dir) / "unfinished", self._fingerprint(data), self.trainer.global_rank
        )
        entries = self._journal.read()
        scores = [RecordScores.from_json(entry["record"]) for entry in entries if "record" in entry]
        self._done = {record.id: record for record in scores}
        self._seconds = sum(entry["seconds"] for entry in entries if "seconds" in entry)
        self.outcome = None

    def test_step(self, batch: QuestionBatch, batch_idx: int) -> None:  # noqa: ARG002 - a Lightning hook
        """Answer one batch and write its scores down."""
        if self.is_done(batch) or self._journal is None:
            return
        started = time.perf_counter()
        questions = batch.questions
        base = Respondent(self.lm, questions)
        base_answers, answers = answer_all(base, self._persona(batch), self.tokenizer, self.answers)
        scores = self._data().benchmark.measure(questions, base_answers, answers)
        seconds = time.perf_counter() - started
        self._journal.append([*({"record": record.to_json()} for record in scores), {"seconds": seconds}])
        self._done.update((record.id, record) for record in scores)
        self._seconds += seconds

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:  # noqa: ARG002
        """Forget how the batch was steered."""
        self._steering = None

    def on_test_epoch_end(self) -> None:
        """Turn the scores of all records, of all processes, into figures."""
        data = self._data()
        if self.trainer.world_size > 1 and self._journal is not None:
            self.trainer.strategy.barrier("evaluation")
            entries = self._journal.read()
            scores = (RecordScores.from_json(entry["record"]) for entry in entries if "record" in entry)
            self._done = {record.id: record for record in scores}
            self._seconds = sum(entry["seconds"] for entry in entries if "seconds" in entry)
        records = sorted(self._done.values(), key=lambda record: record.order)
        rows = data.benchmark.rows(records)
        self.outcome = Outcome(
            benchmark=data.benchmark.name,
            method=self.method,
            model=self.spec.name,
            rows=tuple(rows),
            headline=data.benchmark.headline,
            records=tuple(records),
            data_files=tuple(str(path) for path in data.data_files()),
            seed=self.answers.seed,
            seconds=self._seconds,
            peak_memory_mb=peak_memory_mb(self.device),
        )
        for row in rows:
            if row.persona == "all" and row.value is not None:
                self.log(f"test/{row.metric}", row.value, rank_zero_only=True)
                if row.base_value is not None:
                    self.log(f"test/base/{row.metric}", row.base_value, rank_zero_only=True)

    def on_test_end(self) -> None:
        """Drop the kept scores: callbacks have written the results by now."""
        if self._journal is not None and self.trainer.is_global_zero:
            self._journal.clear()

    def _persona(self, batch: QuestionBatch) -> Respondent | None:
        """Who answers under the method; None where there is none."""
        if self._steering is not None:
            intervention, rewritten = self._steering
            return Respondent(self.lm, rewritten or batch.questions, intervention)
        if self.trained is not None:
            return Respondent(self.trained.model, batch.questions, self.trained.intervene(batch))
        return None

    def _data(self) -> BenchmarkData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, BenchmarkData):
            raise InputError(
                "the data module is no benchmark",
                field="--data",
                expected="a data module with a `benchmark`, such as datamodules.personality_edit.EditDataModule",
                got=type(data).__name__,
                fix="name a benchmark's data module",
            )
        return data

    def _fingerprint(self, data: BenchmarkData) -> str:
        """What scores must have been made with to count for this evaluation."""
        parts = {
            "benchmark": data.benchmark.name,
            "data": [data_hash(data.data_files()), data.settings()],
            "lm": asdict(self.spec),
            "answers": asdict(self.answers),
            "method": [self.method, dict(self._method_settings)],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory held so far: of the accelerator where the model is on one, of the process elsewhere.

    Args:
        device: Where the model is.

    Returns:
        Megabytes.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
