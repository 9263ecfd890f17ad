"""Asks a benchmark's models something beside the benchmark, and has their free answers read by a classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from datamodules.side_questions import SideEffectSpec, read_side_questions, side_files
from lm.classifier import ClassifierSpec, TraitClassifier
from metrics.benchmark import Benchmark
from metrics.side_effects import SideEffects
from metrics.trait_reading import TraitReading, wanted_poles
from personas.traits import TRAITS


class AskedBeside(LightningDataModule):
    """A benchmark's data module with questions beside it, or a classifier that reads the answers, or both.

    Everything else is that of the data module inside.

    Args:
        inner: The benchmark's data module, set up.
        side_effects: What is asked beside it.
        classifier: What reads the free answers.

    Raises:
        InputError: A file or an option is faulty, or the classifier cannot be loaded.
    """

    def __init__(
        self,
        inner: LightningDataModule,
        side_effects: SideEffectSpec | None = None,
        classifier: ClassifierSpec | None = None,
    ) -> None:
        super().__init__()
        self.inner: Any = inner
        self.side_effects = side_effects
        self.classifier = classifier
        benchmark: Benchmark = cast(Any, inner).benchmark
        if classifier is not None:
            benchmark = TraitReading(benchmark, TraitClassifier(classifier, TRAITS), asked_poles(self.inner))
        self.asking: SideEffects | None = None
        if side_effects is not None:
            share = min(1.0, side_effects.records / max(1, len(self.inner.test_dataloader().dataset)))
            self.asking = SideEffects(benchmark, read_side_questions(side_effects), share)
            benchmark = self.asking
        self.benchmark = benchmark

    def __getattr__(self, name: str) -> Any:
        """What methods ask of a particular benchmark's data module."""
        if name == "inner":  # not there yet while a copy is being made
            raise AttributeError(name)
        return getattr(self.inner, name)

    def test_dataloader(self) -> DataLoader:
        """The batches of the data module inside, with the further questions."""
        loader = self.inner.test_dataloader()
        if self.asking is not None:
            loader.collate_fn = _Asked(loader.collate_fn, self.asking)
        return loader

    def data_files(self) -> list[Path]:
        """The files that the questions come from, those beside included."""
        files = list(self.inner.data_files())
        return [*files, *side_files(self.side_effects)] if self.side_effects is not None else files

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that questions and figures depend on."""
        beside = {"side_effects": self.side_effects, "classifier": self.classifier}
        return {**self.inner.settings(), **{name: asdict(part) for name, part in beside.items() if part is not None}}


@dataclass
class _Asked:
    """Makes a batch and adds to its questions."""

    collate: Callable[[list[Any]], Any]
    asking: SideEffects

    def __call__(self, items: list[Any]) -> Any:
        batch = self.collate(items)
        return replace(batch, questions=self.asking.asked(batch.questions))


def asked_poles(data: Any) -> list[str]:
    """The poles among which the trait of an answer is looked for: what a benchmark names, or all that it asks for.

    Args:
        data: The benchmark's data module, set up.
    """
    named = getattr(data.benchmark, "poles", None)
    if named is not None:
        return list(named)
    personas = getattr(data, "personas", None)
    return wanted_poles(personas()) if callable(personas) else []
