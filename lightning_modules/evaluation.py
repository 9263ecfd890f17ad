"""Puts a benchmark's questions to a model as it is and under a method, and turns the answers into figures."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningModule

from files.errors import InputError
from files.provenance import data_hash
from lightning_modules.answering import AnswerSettings, Respondent, RowIntervention
from lightning_modules.kept_scores import KeptScores
from lightning_modules.trained import TrainedMethod, load_trained
from lightning_modules.within_memory import answer_within_memory
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from metrics.benchmark import Benchmark
from metrics.differences import difference_rows
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
    first batch and calls `steer` in `on_test_batch_start`, unless `is_done` says that the batch needs no answers. Other
    callbacks may stand beside it as baselines: all methods get the same questions, and the base model is asked once.

    Scores are written to the run's folder as they arrive, so that a killed evaluation goes on where it stopped.

    Args:
        lm: The language model.
        ckpt_path: Checkpoint of a trained module to evaluate; `evaluate.py` sets it from `--ckpt_path`.
        method: What results call the method; by default what the checkpoint or the callback calls itself.
        max_new_tokens: Longest free answer, in tokens.
        temperature: 0 takes the likeliest token each time; above it tokens are drawn.
        top_p: Share of probability that drawing is limited to.
        rows: Questions answered in one forward pass; more is faster and takes more memory.
        cached: Keep the states of prompts that were read for all that follows them. Switch it off for models whose
            states cannot be kept; it takes longer.
        padding_side: Where shorter texts are filled up, wherever nothing cached goes on behind them.
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
        cached: bool = True,
        padding_side: Literal["left", "right"] = "left",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = lm
        self.ckpt_path = ckpt_path
        self.answers = AnswerSettings(max_new_tokens, temperature, top_p, rows, seed, cached, padding_side)
        self._within = self.answers  # with fewer rows from the first time on that memory does not suffice
        self.trained: TrainedMethod | None = None
        self.outcome: Outcome | None = None
        self.outcomes: tuple[Outcome, ...] = ()
        self._method = method
        self._method_settings: Mapping[str, Any] = {}
        self._baselines: dict[str, Mapping[str, Any]] = {}
        self._plans: dict[str, tuple[RowIntervention | None, Questions | None]] = {}
        self._scores: KeptScores | None = None

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

    def adopt(self, name: str, settings: Mapping[str, Any], baseline: bool = False) -> None:
        """Let a callback say which method it is, before the first batch.

        Args:
            name: What results call it; for the main method only unless the evaluation was given a name.
            settings: All its answers depend on, as JSON objects; scores kept from a run with others are not used.
            baseline: Whether it stands beside the main method.

        Raises:
            InputError: If two methods have one name.
        """
        if name in self._baselines or (baseline and name == self.method):
            raise InputError("two methods have one name", field="--baselines", got=name, fix="remove one of them")
        if baseline:
            self._baselines[name] = dict(settings)
            return
        self._method = self._method or name
        self._method_settings = {**self._method_settings, name: dict(settings)}

    def steer(
        self,
        intervention: RowIntervention | None = None,
        questions: Questions | None = None,
        method: str | None = None,
    ) -> None:
        """Say how the coming batch is answered under a method; forgotten after the batch.

        Args:
            intervention: One row per record of the batch; None leaves the model as it is.
            questions: The batch's questions with rewritten prompts; None leaves them as they are.
            method: A baseline's name; None is the main method.
        """
        self._plans[method or self.method] = (intervention, questions)

    def release(self) -> None:
        """Forget how the batch was to be answered."""
        self._plans.clear()

    def is_done(self, batch: QuestionBatch, method: str | None = None) -> bool:
        """Whether all records of a batch were scored under a method by an earlier run of this evaluation."""
        return self._scores is not None and self._scores.has(method or self.method, batch.questions.ids)

    def on_test_start(self) -> None:
        """Pick up what an earlier run of the same evaluation got done."""
        folder = Path(self.trainer.default_root_dir) / "unfinished"
        self._scores = KeptScores(folder, self._fingerprint(self._data()), self.trainer.global_rank)
        self._scores.read()
        self.outcome, self.outcomes = None, ()

    def test_step(self, batch: QuestionBatch, batch_idx: int) -> None:
        """Answer one batch under every method and write the scores down."""
        methods = [name for name in (self.method, *self._baselines) if not self.is_done(batch, name)]
        if not methods or self._scores is None:
            return
        personas = [self._persona(batch, name) for name in methods]
        base = Respondent(self.lm, batch.questions)
        answered, self._within = answer_within_memory(base, personas, self.tokenizer, self._within)
        base_answers, answers, seconds = answered
        for name, given, spent in zip(methods, answers, seconds, strict=True):
            scores = self._data().benchmark.measure(batch.questions, base_answers, given)
            self._scores.add(name, scores, spent)

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Forget how the batch was steered."""
        self.release()

    def on_test_epoch_end(self) -> None:
        """Turn the scores of all records, of all processes, into figures."""
        if self._scores is None:
            return
        if self.trainer.world_size > 1:
            self.trainer.strategy.barrier("evaluation")
            self._scores.read()
        records = {name: self._scores.records(name) for name in (self.method, *self._baselines)}
        if self._baselines and NO_METHOD not in records:
            # The base model stands in every score; it is a method of its own where methods are compared.
            records[NO_METHOD] = [replace(record, values=record.base) for record in records[self.method]]
        self.outcomes = tuple(self._outcome(name, records) for name in records)
        self.outcome = self.outcomes[0]
        for row in self.outcome.rows:
            if row.persona == "all" and row.value is not None:
                self.log(f"test/{row.metric}", row.value, sync_dist=True)
                if row.base_value is not None:
                    self.log(f"test/base/{row.metric}", row.base_value, sync_dist=True)
        if self.trainer.is_global_zero:
            for text in (text for outcome in self.outcomes for text in outcome.warnings):
                warnings.warn(text, stacklevel=2)

    def on_test_end(self) -> None:
        """Drop the kept scores: callbacks have written the results by now, and every process has read them."""
        if self.trainer.world_size > 1:
            self.trainer.strategy.barrier("evaluated")
        if self._scores is not None and self.trainer.is_global_zero:
            self._scores.clear()

    def _outcome(self, method: str, records: Mapping[str, list[RecordScores]]) -> Outcome:
        """The figures of one method, and how they differ from those of the others."""
        data = self._data()
        others = {name: scores for name, scores in records.items() if name != method}
        rows = data.benchmark.rows(records[method])
        return Outcome(
            benchmark=data.benchmark.name,
            method=method,
            model=self.spec.name,
            rows=(*rows, *difference_rows(data.benchmark.compared, records[method], others)),
            headline=data.benchmark.headline,
            records=tuple(records[method]),
            data_files=tuple(str(path) for path in data.data_files()),
            seed=self.answers.seed,
            seconds=self._scores.seconds[method] if self._scores is not None else 0.0,
            peak_memory_mb=peak_memory_mb(self.device),
            warnings=tuple(data.benchmark.warnings(records[method], method)),
        )

    def _persona(self, batch: QuestionBatch, method: str) -> Respondent | None:
        """Who answers under a method; None where nobody but the base model does."""
        if method in self._plans:
            intervention, rewritten = self._plans[method]
            return Respondent(self.lm, rewritten or batch.questions, intervention)
        if self.trained is not None and method == self.method:
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
            "method": [self.method, dict(self._method_settings), dict(sorted(self._baselines.items()))],
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
