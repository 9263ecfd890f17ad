"""All figures of the benchmarks in one file, beside the bars that they must reach.

`python -m benchmarks.results` (the end of `make bench`) joins the files that the benchmarks have written, each figure
under the name of its part (`mend_speedup`), writes `benchmarks/results.json`, prints which of the bars in
`benchmarks/bars.yaml` are met, and ends with exit code 1 where one is missed or was not measured. Beside the figures it
holds `<part>_commit` and `<part>_threads` of each part, the machine, and `bars_met`, `bars_missed`, `bars_unmeasured`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.figures import origin
from benchmarks.readme_tables import figures_of, is_number
from files.atomic import write_json
from files.errors import InputError, exit_on_input_error
from files.yaml_files import read_yaml

FOLDER = Path(__file__).parent
BARS = FOLDER / "bars.yaml"
RESULT = "results.json"
PARTS = {
    "mend": "mend.json",
    "pas": "pas.json",
    "npti": "npti.json",
    "train": "train.json",
    "fit": "fit.json",
    "sae": "sae_steps.json",
    "ppo": "ppo_rounds.json",
    "personas": "many_personas.json",
    "start": "cold_start.json",
    "steady": "long_runs.json",
    "scaling": "scaling.json",
}
Verdict = Literal["met", "missed", "unmeasured"]
_OF_A_PART = ("commit", "threads")


@dataclass(frozen=True)
class Bar:
    """What a figure must come to.

    Attributes:
        key: Its name in the joined file.
        least: It is not below this.
        most: It is not above this.
    """

    key: str
    least: float | None = None
    most: float | None = None

    def verdict(self, value: Any) -> Verdict:
        """Whether a value reaches it.

        >>> Bar("speedup", least=2).verdict(2.5), Bar("overhead", most=0.1).verdict(0.2), Bar("x").verdict(None)
        ('met', 'missed', 'unmeasured')
        """
        if not is_number(value):
            return "unmeasured"
        high_enough = self.least is None or value >= self.least
        return "met" if high_enough and (self.most is None or value <= self.most) else "missed"

    def __str__(self) -> str:
        sides = ((">=", self.least), ("<=", self.most))
        return " and ".join(f"{sign} {side:g}" for sign, side in sides if side is not None)


def read_bars(file: Path = BARS) -> list[Bar]:
    """The bars of a file.

    Raises:
        InputError: It is no file of bars.
    """
    content = read_yaml(file, field="bars")
    if not isinstance(content, dict):
        raise InputError("is no file of bars", file=file, expected="a figure's name and its least or most", got=content)
    bars = []
    for key, sides in content.items():
        if not isinstance(sides, dict) or not sides or not sides.keys() <= {"least", "most"}:
            raise InputError("is no bar", file=file, field=key, expected="least, most or both", got=sides)
        if not all(is_number(side) for side in sides.values()):
            raise InputError("is no number", file=file, field=key, expected="a number", got=sides)
        bars.append(Bar(key, **sides))
    return bars


def joined(folder: Path) -> dict[str, Any]:
    """The figures of all parts that have been measured, each under the name of its part.

    Args:
        folder: Where their files lie.

    Raises:
        InputError: One of them cannot be read.
    """
    figures: dict[str, Any] = {}
    for part, file in PARTS.items():
        for name, value in figures_of(folder / file).items():
            if is_number(value) or name.endswith("_ci") or name in _OF_A_PART:
                figures[f"{part}_{name}"] = value
    return figures


def verdicts(figures: Mapping[str, Any], bars: Sequence[Bar]) -> dict[Verdict, list[Bar]]:
    """The bars that are met, missed, and those whose figure is not there."""
    found: dict[Verdict, list[Bar]] = {"met": [], "missed": [], "unmeasured": []}
    for bar in bars:
        found[bar.verdict(figures.get(bar.key))].append(bar)
    return found


def table_of(figures: Mapping[str, Any], bars: Sequence[Bar]) -> Table:
    """A row for each bar."""
    table = Table("figure", "value", "bar", "", title="What the benchmarks must come to")
    for bar in bars:
        value = figures.get(bar.key)
        table.add_row(bar.key, f"{value:.4g}" if is_number(value) else "-", str(bar), bar.verdict(value))
    return table


@exit_on_input_error()
def main(arguments: Sequence[str]) -> int:
    """Join, write, compare.

    Returns:
        0 where all bars are met, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the parts' files are, and the joined one is")
    parser.add_argument("--bars", type=Path, default=BARS, help="what the figures must come to (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures, bars = joined(options.folder), read_bars(options.bars)
    found = verdicts(figures, bars)
    counts = {f"bars_{verdict}": len(some) for verdict, some in found.items()}
    write_json(options.folder / RESULT, {**figures, **counts, **origin()})
    Console().print(table_of(figures, bars))
    return 0 if len(found["met"]) == len(bars) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
