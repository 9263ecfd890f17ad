"""Every method on every benchmark: `python -m benchmarks.matrix` (or `make matrix`).

Looks up `configs/eval/<benchmark>/<method>.yaml`, trains once what some of them need, and evaluates each, methods that
are asked the same questions together, so that the base model answers them once. Writes below `runs/matrix`:

- `<benchmark>/<method>.json`: the rows of a finished cell, with what they depend on; such a cell is not done again
- `results.json`: the rows of all cells, controls included
- `leaderboard.md`, `leaderboard.png`: the table, with intervals, base model, controls and side effects
- `skipped.json`: every pair of benchmark and method without results, and why
- `times.json`: seconds of each training and each group of cells, as they were last done
- `log.txt` beside each training and each group: the command, and what it said

Trainings and evaluations are commands of their own, several at a time. What is interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmarks.matrix_cells import Cell, Group, find_cells, groups, left_out, method_of
from benchmarks.matrix_settings import EVALUATIONS, SIZES, TRAININGS, Training, own_folder, read_sizes, training
from benchmarks.matrix_work import LOG, Commands, Task, cores, run_tasks
from files.atomic import atomic_write_text, ensure_writable_folder, write_json
from files.errors import InputError, check_at_least, exit_on_input_error
from files.readers import read_json
from metrics.result_rows import RESULTS, read_results
from report.leaderboard import MARKDOWN, write_leaderboard
from report.paired_tests import BASE, RECORDS

SKIPPED, TIMES, SETTINGS = "skipped.json", "times.json", "settings.yaml"


class Matrix:
    """A run of the matrix.

    Args:
        cells: What is evaluated.
        root: Where everything is written.
        console: Where progress is told.
        jobs: How many trainings and evaluations run at a time.
        sizes: By recipe the settings of trainings that differ here.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        root: Path,
        console: Console,
        jobs: int = 1,
        sizes: Mapping[str, Any] | None = None,
    ) -> None:
        self.cells = list(cells)
        self.root = root
        self.console = console
        self.jobs = jobs
        self.sizes = sizes or {}
        self.commands = Commands(jobs)
        self.failed: dict[tuple[str, str], str] = {}
        self.times: dict[str, float] = {}
        self.trainings: dict[str, Training] = {}
        self._step: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Do what is not done yet, then write the table."""
        ensure_writable_folder(self.root)
        times = read_json(self.root / TIMES) if (self.root / TIMES).is_file() else {}
        self.times = dict(times) if isinstance(times, dict) else {}
        for cell in self.cells:
            missing = cell.missing()
            if missing is not None:
                self.failed[cell.benchmark, cell.method] = missing
        possible = [cell for cell in self.cells if self._possible(cell)]
        for recipe in dict.fromkeys(recipe for cell in possible for recipe in cell.recipes()):
            self.trainings[recipe] = training(recipe, self.root, self.sizes.get(recipe) or {})
        open_cells = [cell for cell in possible if not self._is_done(cell)]
        self._say(f"{len(possible) - len(open_cells)} of {len(self.cells)} cells are there already")
        trained = [Task(one.recipe, frozenset(), partial(self._train, one)) for one in self.trainings.values()]
        columns = (TextColumn("trainings and groups"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            self._step = partial(bar.advance, bar.add_task("", total=len(trained) + len(groups(open_cells))))
            run_tasks([*trained, *map(self._task, groups(open_cells))], self.jobs, self.commands.stop)
        self.write()

    def write(self) -> None:
        """Put the rows of all finished cells together."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for cell in self.cells:
            if (cell.benchmark, cell.method) not in self.failed:
                for row in self._kept(cell)["rows"]:  # two methods may have the same control beside them
                    found.setdefault(tuple(row[name] for name in ("benchmark", "method", "persona", "metric")), row)
        entries = list(found.values())
        write_json(self.root / RESULTS, entries)
        write_json(self.root / SKIPPED, left_out(self.cells, self.failed))
        write_json(self.root / TIMES, self.times)
        write_leaderboard(read_results(self.root / RESULTS), self.root, "Every method on every benchmark")
        self._say(f"{len(entries)} figures in {self.root / RESULTS}, the table in {self.root / MARKDOWN}")

    def _train(self, one: Training) -> list[Task]:
        """Train unless that is done; what fails is noted for every cell that needs it."""
        state = read_json(one.note) if one.note.is_file() else {}
        if state == {"key": one.key, "finished": True} and one.checkpoint.is_file():
            self._step()
            return []
        resume = "auto" if state.get("key") == one.key else "never"
        write_json(one.note, {"key": one.key, "finished": False})
        try:
            with self._timed(f"training by {one.recipe}"):
                atomic_write_text(one.folder / SETTINGS, yaml.safe_dump(one.settings, sort_keys=False))
                fit(self.commands, one.folder, resume)
            write_json(one.note, {"key": one.key, "finished": True})
        except InputError as error:
            for cell in self.cells:
                if one.recipe in cell.recipes():
                    self.failed[cell.benchmark, cell.method] = f"its training failed: {error}"
        return []

    def _task(self, group: Group) -> Task:
        needed = frozenset(recipe for cell in group.cells for recipe in cell.recipes())
        return Task(group.name, needed, partial(self._evaluate, group))

    def _evaluate(self, group: Group) -> list[Task]:
        """Evaluate a group; where that fails both of its halves follow, so that one fault costs one cell."""
        left = replace(group, cells=tuple(cell for cell in group.cells if self._possible(cell)))
        if left.cells != group.cells:  # a training has failed
            self._step()
            return [self._task(one) for one in groups(left.cells)]
        try:
            with self._timed(group.name):
                self._evaluate_together(group)
        except InputError as error:
            if len(group.cells) > 1:
                middle = len(group.cells) // 2
                return [
                    self._task(one) for part in (group.cells[:middle], group.cells[middle:]) for one in groups(part)
                ]
            cell = group.cells[0]
            self.failed[cell.benchmark, cell.method] = str(error)
            self._say(f"{cell.name}: {error}")
        return []

    def _evaluate_together(self, group: Group) -> None:
        names = "+".join(cell.method for cell in group.cells)
        folder = self.root / group.cells[0].benchmark / "together" / names
        checkpoint = str(self.trainings[group.recipe].checkpoint) if group.recipe is not None else None
        file = folder / SETTINGS
        moved = {own_folder(recipe): str(one.folder) for recipe, one in self.trainings.items()}
        settings = group.settings(folder, checkpoint, moved)
        atomic_write_text(file, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        evaluate(self.commands, file)
        rows = read_json(folder / RESULTS)
        asked = {(cell.benchmark, cell.method) for cell in self.cells}
        for cell in group.cells:
            beside = {method for one in cell.callbacks() if (method := method_of(one)) is not None} - {cell.method}
            controls = {method for method in beside if (cell.benchmark, method) not in asked}
            kept = [row for row in rows if row["method"] in {cell.method, *controls}]
            if not any(row["method"] == cell.method for row in kept):
                found = sorted({row["method"] for row in rows})
                raise InputError("yields no results of its method", file=cell.file, expected=cell.method, got=found)
            write_json(self._file(cell), {"key": self._key(cell), "rows": kept})
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        forget({cell.method for cell in group.cells}, [other for other in folder.parent.iterdir() if other != folder])

    def _possible(self, cell: Cell) -> bool:
        return (cell.benchmark, cell.method) not in self.failed

    def _is_done(self, cell: Cell) -> bool:
        return self._file(cell).is_file() and self._kept(cell)["key"] == self._key(cell)

    def _kept(self, cell: Cell) -> dict[str, Any]:
        content = read_json(self._file(cell))
        if not isinstance(content, dict) or not {"key", "rows"} <= content.keys():
            raise InputError("is no finished cell", file=self._file(cell), fix="delete it; the cell is then done again")
        return content

    def _file(self, cell: Cell) -> Path:
        return self.root / cell.benchmark / f"{cell.method}.json"

    def _key(self, cell: Cell) -> str:
        return cell.key("".join(self.trainings[recipe].key for recipe in cell.recipes()))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Tell of something that takes long, and note how long it took."""
        self._say(f"begun: {name}")
        started = time.monotonic()
        try:
            yield
        finally:
            self.times[name] = round(time.monotonic() - started, 1)
            self._say(f"{self.times[name]:.0f} s: {name}")
            write_json(self.root / TIMES, dict(self.times))
            self._step()

    def _say(self, text: str) -> None:
        self.console.print(Text(text))


def forget(methods: Collection[str], folders: Sequence[Path]) -> None:
    """Drop the results and records of methods from folders of earlier groups, where they have been done anew elsewhere.

    Args:
        methods: The methods.
        folders: The folders; one that is left with nothing but the base model is removed.
    """
    for folder in folders:
        if not (folder / RESULTS).is_file():
            continue
        rows = [row for row in read_json(folder / RESULTS) if row["method"] not in methods]
        if {row["method"] for row in rows} <= {BASE}:
            shutil.rmtree(folder)
            continue
        write_json(folder / RESULTS, rows)
        lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines() if (folder / RECORDS).is_file() else []
        kept = [line for line in lines if json.loads(line)["method"] not in methods]
        atomic_write_text(folder / RECORDS, "".join(f"{line}\n" for line in kept))


def fit(commands: Commands, folder: Path, resume: str) -> None:
    """Train by the settings in a folder, into that folder."""
    options = ["--trainer.default_root_dir", str(folder), "--trainer.enable_progress_bar", "false", "--resume", resume]
    commands.run(["train.py", "fit", "--config", str(folder / SETTINGS), *options], folder / LOG)


def evaluate(commands: Commands, file: Path) -> None:
    """Evaluate by a settings file."""
    options = ["--trainer.enable_progress_bar", "false"]
    commands.run(["evaluate.py", "--config", str(file), *options], file.parent / LOG)


def chosen(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """The cells of some benchmarks, or all.

    Raises:
        InputError: There is no such benchmark.
    """
    known: Mapping[str, None] = dict.fromkeys(cell.benchmark for cell in cells)
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError("is no benchmark", field="--only", expected=", ".join(known), got=unknown[0], fix="correct it")
    return [cell for cell in cells if not only or cell.benchmark in only]


@exit_on_input_error()
def main(arguments: Sequence[str]) -> None:
    """Run the matrix."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--configs", type=Path, default=Path("configs/eval"), help="where the settings are")
    parser.add_argument("--root", type=Path, default=Path("runs/matrix"), help="where everything is written")
    parser.add_argument("--only", nargs="+", default=[], metavar="BENCHMARK", help="evaluate on these benchmarks only")
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(2, cores()),
        help="trainings and evaluations at a time, which share the cores; 1 where they share an accelerator "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sizes",
        type=Path,
        default=SIZES,
        help="how much of each benchmark and training is taken; an empty file: as much as their settings say "
        "(default: benchmarks/matrix_sizes.yaml)",
    )
    options = parser.parse_args(arguments)
    check_at_least("--jobs", options.jobs, 1)
    started = time.monotonic()
    console = Console(stderr=True)
    sizes = read_sizes(options.sizes)
    cells = chosen(find_cells(options.configs, sizes[EVALUATIONS]), options.only)
    Matrix(cells, options.root, console, options.jobs, sizes[TRAININGS]).run()
    console.print(Text(f"done in {time.monotonic() - started:.0f} s"))


if __name__ == "__main__":
    main(sys.argv[1:])
