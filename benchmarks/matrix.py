"""Every method on every benchmark: `python -m benchmarks.matrix` (or `make matrix`).

Looks up `configs/eval/<benchmark>/<method>.yaml`, trains once what some of them need, and evaluates each, methods that
are asked the same questions together, so that the base model answers them once. Writes below `runs/matrix`:

- `<benchmark>/<method>.json`: the rows of a finished cell, with what they depend on; such a cell is not done again
- `results.json`: the rows of all cells, controls included
- `leaderboard.md`, `leaderboard.png`: the table, with intervals, base model, controls and side effects
- `skipped.json`: every pair of benchmark and method without results, and why
- `times.json`: seconds of each training and each group of cells

Whatever is interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from benchmarks.matrix_cells import Cell, Group, find_cells, groups, left_out, method_of, named_files
from files.atomic import atomic_write_text, ensure_writable_folder, write_json
from files.errors import InputError, exit_on_input_error
from files.provenance import data_hash
from files.readers import read_json
from metrics.result_rows import RESULTS, read_results
from report.leaderboard import MARKDOWN, write_leaderboard

SKIPPED, TIMES, SETTINGS, DONE = "skipped.json", "times.json", "settings.yaml", "matrix.json"
LAST = Path("checkpoints", "last.ckpt")


class Matrix:
    """A run of the matrix.

    Args:
        cells: What is evaluated.
        root: Where everything is written.
        console: Where progress is told.
    """

    def __init__(self, cells: Sequence[Cell], root: Path, console: Console) -> None:
        self.cells = list(cells)
        self.root = root
        self.console = console
        self.failed: dict[tuple[str, str], str] = {}
        self.times: dict[str, float] = {}
        self.checkpoints: dict[str, tuple[str, str]] = {}

    def run(self) -> None:
        """Do what is not done yet, then write the table."""
        ensure_writable_folder(self.root)
        for cell in self.cells:
            missing = cell.missing()
            if missing is not None:
                self.failed[cell.benchmark, cell.method] = missing
        for recipe in dict.fromkeys(
            cell.recipe for cell in self.cells if cell.recipe is not None and self._possible(cell)
        ):
            self._train(recipe)
        open_cells = [cell for cell in self.cells if self._possible(cell) and not self._is_done(cell)]
        finished = len(self.cells) - len(open_cells) - len(self.failed)
        self._say(f"{finished} of {len(self.cells)} cells are there already")
        for group in groups(open_cells):
            self._timed(", ".join(cell.name for cell in group.cells), lambda group=group: self._evaluate(group))
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

    def _train(self, recipe: str) -> None:
        """Train by a recipe unless that is done; what fails is noted for every cell that needs it."""
        settings = yaml.safe_load(Path(recipe).read_text(encoding="utf-8"))
        contents = [data_hash(path) for path in named_files(settings)]
        key = hashlib.sha256(json.dumps([settings, contents], sort_keys=True, default=str).encode()).hexdigest()
        folder = self.root / "train" / Path(recipe).parent.name
        self.checkpoints[recipe] = (str(folder / LAST), key)
        note = folder / DONE
        state = read_json(note) if note.is_file() else {}
        if state == {"key": key, "finished": True} and (folder / LAST).is_file():
            return
        resume = "auto" if state.get("key") == key else "never"
        write_json(note, {"key": key, "finished": False})
        try:
            self._timed(f"training by {recipe}", lambda: fit(recipe, folder, resume))
        except InputError as error:
            for cell in self.cells:
                if cell.recipe == recipe:
                    self.failed[cell.benchmark, cell.method] = f"its training failed: {error.problem}"
            return
        write_json(note, {"key": key, "finished": True})

    def _evaluate(self, group: Group) -> None:
        """Evaluate a group; where that fails both of its halves, so that one fault costs one cell."""
        try:
            self._evaluate_together(group)
        except InputError as error:
            if len(group.cells) == 1:
                cell = group.cells[0]
                self.failed[cell.benchmark, cell.method] = str(error)
                self._say(f"{cell.name}: {error.problem}")
                return
            middle = len(group.cells) // 2
            for part in (group.cells[:middle], group.cells[middle:]):
                recipes = [cell.recipe for cell in part if cell.recipe is not None]
                self._evaluate(Group(part, recipes[0] if recipes else None))

    def _evaluate_together(self, group: Group) -> None:
        names = "+".join(cell.method for cell in group.cells)
        folder = self.root / group.cells[0].benchmark / "together" / names
        checkpoint = self.checkpoints[group.recipe][0] if group.recipe is not None else None
        file = folder / SETTINGS
        atomic_write_text(file, yaml.safe_dump(group.settings(folder, checkpoint), sort_keys=False, allow_unicode=True))
        evaluate(file)
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
        return cell.key(self.checkpoints[cell.recipe][1] if cell.recipe is not None else "")

    def _timed(self, name: str, work: Any) -> None:
        self._say(name)
        started = time.monotonic()
        work()
        self.times[name] = round(time.monotonic() - started, 1)
        self._say(f"  {self.times[name]:.0f} s")

    def _say(self, text: str) -> None:
        self.console.print(Text(text))


def fit(recipe: str, folder: Path, resume: str) -> None:
    """Train by a recipe into a folder."""
    from persona_cli import PersonaCLI  # seconds of imports, which --help does not need

    PersonaCLI(["fit", "--config", recipe, "--trainer.default_root_dir", str(folder), "--resume", resume])


def evaluate(file: Path) -> None:
    """Evaluate by a settings file."""
    from eval_cli import EvalCLI

    EvalCLI(["--config", str(file)]).run()


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
    options = parser.parse_args(arguments)
    started = time.monotonic()
    console = Console(stderr=True)
    Matrix(chosen(find_cells(options.configs), options.only), options.root, console).run()
    console.print(Text(f"done in {time.monotonic() - started:.0f} s"))


if __name__ == "__main__":
    main(sys.argv[1:])
