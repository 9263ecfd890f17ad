"""The cells of the matrix: which evaluations there are, which of them share their questions, and why others are not."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.matrix_settings import maker_of, named_files, relocated, resized, trained_paths
from files.assets import asset_path
from files.errors import InputError
from files.provenance import data_hash

LEFT_OUT = Path(__file__).with_name("left_out.yaml")


@dataclass(frozen=True)
class Cell:
    """One method on one benchmark.

    Attributes:
        benchmark: Folder of its settings.
        method: Name of its settings file.
        file: The settings file.
        settings: What stands in it.
    """

    benchmark: str
    method: str
    file: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.benchmark} x {self.method}"

    @property
    def recipe(self) -> str | None:
        """The settings file of the training that it needs."""
        recipe = self.settings.get("trained_by")
        return recipe if isinstance(recipe, str) else None

    def recipes(self) -> list[str]:
        """The settings files of all trainings that it needs: for its checkpoint, and what it takes from runs."""
        makers = [maker for path in trained_paths(self.settings) if (maker := maker_of(path)) is not None]
        return list(dict.fromkeys([*([self.recipe] if self.recipe is not None else []), *makers]))

    @property
    def model(self) -> str:
        """The language model."""
        return str(self.settings["model"].get("init_args", {}).get("lm", {}).get("name", ""))

    def own_callbacks(self) -> list[dict[str, Any]]:
        """The callbacks that are its method; a trained method has none."""
        own = (self.settings.get("trainer") or {}).get("callbacks") or []
        return [one for one in own if method_of(one)]

    def callbacks(self) -> list[dict[str, Any]]:
        """Its methods that are callbacks: its own, and those that stand beside it."""
        return self.own_callbacks() + list(self.settings.get("baselines") or [])

    def missing(self) -> str | None:
        """Why it cannot be evaluated here: its model is not on this machine, or nothing has been trained for it."""
        if not asset_path(self.model).exists():
            return f"it is for the model {self.model}, which is not on this machine"
        gone = [path for path in trained_paths(self.settings) if maker_of(path) is None and not Path(path).exists()]
        return f"{gone[0]} is not there: see {self.file} for what trains it" if gone else None

    def questions(self) -> str:
        """What cells must have in common to be asked together, as a text."""
        asked: dict[str, Any] = deepcopy(dict(self.settings))
        for name in ("trainer", "baselines", "trained_by"):
            asked.pop(name, None)
        asked.get("model", {}).get("init_args", {}).pop("method", None)
        return json.dumps(asked, sort_keys=True)

    def key(self, recipe_key: str = "") -> str:
        """What its results depend on, beside the code: its settings, the files they name, and the training."""
        contents = [data_hash(path) for path in named_files(self.settings) if maker_of(str(path)) is None]
        text = json.dumps([self.benchmark, self.settings, contents, recipe_key], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Group:
    """Cells that are answered together: the same questions, put to the base model once.

    Attributes:
        cells: The cells.
        recipe: The training that some of them need.
    """

    cells: tuple[Cell, ...]
    recipe: str | None

    @property
    def name(self) -> str:
        """As messages call it."""
        return ", ".join(cell.name for cell in self.cells)

    def settings(self, folder: Path, checkpoint: str | None, moved: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Settings of one evaluation that answers for all of them.

        Args:
            folder: Where its results go.
            checkpoint: What the training has left.
            moved: From the folders that the settings take trained parts from to those where they are.
        """
        main = self._main()
        settings: dict[str, Any] = deepcopy(dict((main or self.cells[0]).settings))
        settings["model"]["init_args"].pop("method", None)
        settings.pop("trained_by", None)
        if checkpoint is not None:
            settings["ckpt_path"] = checkpoint
        own = main.own_callbacks() if main is not None else []
        if main is not None and own:
            settings["model"]["init_args"]["method"] = main.method
        baselines: dict[str, dict[str, Any]] = {}
        for callback in (one for cell in self.cells for one in cell.callbacks()):
            baselines.setdefault(method_of(callback) or "", callback)
        if main is not None:
            baselines.pop(main.method, None)
        settings["baselines"] = list(baselines.values())
        trainer = settings.setdefault("trainer", {})
        others = [one for one in trainer.get("callbacks") or [] if not method_of(one)]
        trainer.pop("callbacks", None)
        settings["trainer"] = {**trainer, "default_root_dir": str(folder), "callbacks": [*own, *others]}
        found: dict[str, Any] = relocated(settings, moved or {})
        return found

    def _main(self) -> Cell | None:
        """The cell that the checkpoint is for, one that is no callback if there is one; None without a checkpoint.

        All other methods stand beside it; without one they stand beside the base model.
        """
        bound = [cell for cell in self.cells if self.recipe is not None and cell.recipe == self.recipe]
        return next((cell for cell in bound if not cell.own_callbacks()), bound[0] if bound else None)


def find_cells(folder: Path, sizes: Mapping[str, Any] | None = None) -> list[Cell]:
    """Every `<benchmark>/<method>.yaml` below a folder.

    Args:
        folder: The folder.
        sizes: By benchmark the settings that differ here; those of the files otherwise.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    cells = []
    for file in sorted(folder.glob("*/*.yaml")):
        try:
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError("cannot be read", file=file, got=str(error), fix="correct it") from error
        if not isinstance(settings, dict) or not {"model", "data"} <= settings.keys():
            raise InputError("is no evaluation", file=file, expected="settings with model and data", fix="correct it")
        of_benchmark = (sizes or {}).get(file.parent.name) or {}
        cells.append(Cell(file.parent.name, file.stem, file, resized(settings, of_benchmark)))
    if not cells:
        raise InputError(
            "holds no evaluations", file=folder, expected="<benchmark>/<method>.yaml", fix="check the path"
        )
    return cells


def groups(cells: Sequence[Cell]) -> list[Group]:
    """Sort cells into groups that can be answered together; cells that need no training join those that do.

    Args:
        cells: The cells.

    Returns:
        Groups with at most one training each.
    """
    together: dict[str, list[Cell]] = {}
    for cell in cells:
        together.setdefault(f"{cell.benchmark}/{cell.questions()}", []).append(cell)
    found = []
    for members in together.values():
        recipes = list(dict.fromkeys(cell.recipe for cell in members if cell.recipe is not None))
        free = [cell for cell in members if cell.recipe is None]
        for place, recipe in enumerate(recipes or [None]):
            bound = [cell for cell in members if recipe is not None and cell.recipe == recipe]
            found.append(Group(tuple([*(free if place == 0 else []), *bound]), recipe))
    return found


def method_of(callback: Mapping[str, Any]) -> str | None:
    """What a callback of a settings file calls its method; None for a callback that is none.

    Example:
        >>> method_of({"class_path": "callbacks.random_heads.RandomHeads"})
        'random_heads'
    """
    package, _, name = str(callback.get("class_path", "")).rpartition(".")
    if not package.startswith("callbacks."):
        return None
    method = getattr(getattr(importlib.import_module(package), name, None), "method", None)
    return method if isinstance(method, str) and method else None


def left_out(cells: Sequence[Cell], failed: Mapping[tuple[str, str], str]) -> list[dict[str, str]]:
    """Every pair of benchmark and method without results, and why.

    Args:
        cells: The cells there are settings for.
        failed: Those of them that could not be evaluated, with the reason.

    Returns:
        Objects with benchmark, method and reason.

    Raises:
        InputError: The file of reasons cannot be read.
    """
    try:
        reasons = yaml.safe_load(LEFT_OUT.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError("cannot be read", file=LEFT_OUT, got=str(error)) from error
    there = {(cell.benchmark, cell.method) for cell in cells}
    built_in = {cell.method for cell in cells if asset_path(cell.model).exists()}
    found = []
    for benchmark in sorted({cell.benchmark for cell in cells}):
        for method in sorted(built_in | {method for one, method in failed if one == benchmark}):
            reason = failed.get((benchmark, method))
            if reason is None and (benchmark, method) not in there:
                missing = f"there is no configs/eval/{benchmark}/{method}.yaml"
                reason = (reasons.get(benchmark) or {}).get(method, missing)
            if reason is not None:
                found.append({"benchmark": benchmark, "method": method, "reason": str(reason)})
    return found
