"""The common part of methods that steer along directions of named qualities: RepE and sparse autoencoders."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from files.provenance import data_hash
from interventions.bundle import Bundle, facts_of, load_bundle, read_header, save_bundle
from interventions.calls import Phase, Positions
from interventions.limited import Limited
from interventions.places import Places, places_of
from interventions.residual import AddDirection
from personas.persona import Persona
from personas.traits import TRAIT_OF_FACET

Where = Literal["all", "last", "prompt_end", "prompt_but_last", "generated"]
ENDS = {"+": 1, "-": -1}
"""What names of the ends of a quality end with, and the sign of the levels there."""

_LIMITS: dict[Where, tuple[Phase, Positions]] = {
    "all": ("all", "all"),
    "last": ("all", "last"),
    "prompt_end": ("prompt", "last"),
    "prompt_but_last": ("prompt", "all_but_last"),
    "generated": ("generated", "all"),
}


class DirectionSteering(SteeringCallback):
    """Adds directions to block outputs: for each record the sum of those that its persona has a level of.

    A level of 1 adds a direction once, times the strength. The directions are learnt once, kept in a file of the run
    and taken from there when the same run goes on, or read from a bundle.

    Args:
        strength: Multiplies all directions; negative numbers turn them round.
        where: Tokens that are steered: all of them, the last of a prompt and those generated, the last of a prompt
            alone, those of a prompt but its last, or those generated.
        bundle: A file of directions, in place of learning them.
        coefficients: Further directions for every record, by name, such as `{extraversion: 0.5, neuroticism: -1}`.

    Attributes:
        names: What the directions are called. `extraversion+` is one end of a quality: it is taken at levels above 0,
            and `extraversion-` at those below.
        tables: Of each layer its directions, a row per name (P, D).
        fitted: What is told of how they were learnt, of plain values.
        folder: The folder of the run, where what was learnt is kept; None where several processes share it.
    """

    def __init__(
        self,
        strength: float = 1.0,
        where: Where = "all",
        bundle: str | None = None,
        coefficients: Mapping[str, float] | None = None,
    ) -> None:
        self.strength = strength
        self.where: Where = where
        self.bundle = bundle
        self.coefficients = dict(coefficients or {})
        self.names: tuple[str, ...] = ()
        self.tables: dict[int, Tensor] = {}
        self.fitted: Mapping[str, Any] = {}
        self.places: Places
        self.folder: Path | None = None

    @abstractmethod
    def learn(self) -> tuple[tuple[str, ...], dict[int, Tensor], dict[str, Any]]:
        """Learn the directions.

        Returns:
            Their names (P), for each layer the directions (P, D), and what is to be told of them.
        """

    @abstractmethod
    def recipe(self) -> dict[str, Any]:
        """All that the directions depend on beside the model, as JSON objects."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take part in the evaluation, and learn where its folder is."""
        self.folder = Path(trainer.default_root_dir) if trainer.world_size == 1 else None
        super().on_test_start(trainer, pl_module)

    def settings(self) -> dict[str, Any]:
        """The recipe of the directions, or the bundle, and how they are applied."""
        source = {"bundle": data_hash([Path(self.bundle)])} if self.bundle is not None else self.recipe()
        return {**source, "strength": self.strength, "where": self.where, "coefficients": self.coefficients}

    def fit(self) -> None:
        """Read the directions, or learn them.

        Raises:
            InputError: An option means nothing, or a file is missing or faulty.
        """
        self._check_options()
        model, spec = self.evaluation.lm, getattr(self.evaluation, "spec", None)
        self.places = places_of(model, getattr(spec, "sites", None))
        kept = None if self.folder is None else self.folder / f"{self.method}.safetensors"
        if self.bundle is not None:
            self._take(load_bundle(self.bundle, model, sites=getattr(spec, "sites", None)), self.bundle)
        elif kept is not None and self._is_mine(kept):
            self._take(load_bundle(kept, model, sites=getattr(spec, "sites", None)), kept)
        else:
            self.names, self.tables, self.fitted = self.learn()
            if kept is not None:
                save_bundle(kept, self._bundle())
        unknown = [name for name in self.coefficients if name not in self.names]
        if unknown:
            raise self._bad("coefficients", f"names among {', '.join(self.names)}", unknown[0])

    def refusal(self, persona: Persona) -> str | None:
        """Anybody with a level of something that there is a direction of; everybody, where coefficients are fixed."""
        if self.coefficients or any(self.level(persona, name) for name in self.names):
            return None
        return f"somebody with a level of one of {', '.join(self.names)}"

    def intervene(self, batch: Any) -> RowIntervention:
        """The sum of each record's directions, at its persona's levels."""
        weights = torch.tensor([[self.level(who, name) for name in self.names] for who in batch.questions.personas])
        weights = weights + torch.tensor([float(self.coefficients.get(name, 0.0)) for name in self.names])
        rows = {layer: weights @ table for layer, table in self.tables.items()}
        edit = AddDirection(self.places, rows, self.strength)
        phase, positions = _LIMITS[self.where]
        return edit if self.where == "all" else Limited(edit, phase=phase, positions=positions)

    def level(self, persona: Persona, name: str) -> float:
        """The level of a persona on a quality, or how far it lies to one end of it.

        A facet without a direction of its own counts as its trait.
        """
        if name[-1:] in ENDS:
            return max(0.0, ENDS[name[-1]] * self.level(persona, name[:-1]))
        if name in persona.levels:
            return float(persona.levels[name])
        of_facets = [
            float(level)
            for facet, level in persona.levels.items()
            if TRAIT_OF_FACET.get(facet) == name and not {facet, *(facet + end for end in ENDS)} & set(self.names)
        ]
        return sum(of_facets) / len(of_facets) if of_facets else 0.0

    def _bundle(self) -> Bundle:
        intervention = AddDirection(self.places, self.tables)
        details = {"recipe": self.recipe(), "fitted": dict(self.fitted)}
        return Bundle(intervention, self.method, self.names, facts_of(self.evaluation.lm, self.places), details)

    def _take(self, bundle: Bundle, file: str | Path) -> None:
        """Take over the directions of a bundle."""
        held = bundle.intervention
        if not isinstance(held, AddDirection):
            raise InputError(
                "holds something other than directions",
                file=file,
                expected="a bundle of RepE or SAE",
                got=bundle.method,
            )
        plain = held.resolved()
        self.names = bundle.personas
        self.tables = {layer: table[:, 0] * plain.strength.unsqueeze(1) for layer, table in plain.tables.items()}
        self.fitted = bundle.details.get("fitted", {})

    def _is_mine(self, file: Path) -> bool:
        """Whether an earlier start of this run has learnt the same directions for the same model."""
        if not file.is_file():
            return False
        header = read_header(file)
        facts = facts_of(self.evaluation.lm, self.places)
        return header.get("details", {}).get("recipe") == self.recipe() and header["model"].get("hash") == facts.hash

    def _check_options(self) -> None:
        numbers = {"strength": self.strength, **{f"coefficients.{name}": v for name, v in self.coefficients.items()}}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self._bad(name, "a finite number", value)

    def _bad(self, option: str, expected: str, got: object) -> InputError:
        return InputError(
            "means nothing",
            field=f"trainer.callbacks: {type(self).__name__}.{option}",
            expected=expected,
            got=got,
            fix="correct the option",
        )
