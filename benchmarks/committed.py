"""The committed results files that the README is written from, and the rows of a method in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from files.errors import InputError
from files.readers import read_json

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = Path("benchmarks/quickstart.json")
PAPI = Path("benchmarks/papi.json")
MATRIX = Path("benchmarks/matrix.json")
CHARACTERS = Path("benchmarks/characters.json")
COMPETENCE = Path("assets/tiny-ocean/competence.json")
MEND = Path("benchmarks/mend.json")
NPTI = Path("benchmarks/npti.json")
PAS = Path("benchmarks/pas.json")
STEERING = Path("benchmarks/steering.json")
TRAIN = Path("benchmarks/train.json")
BENCHMARKS = Path("benchmarks/results.json")
PROCESSES = Path("benchmarks/processes.json")
PICTURES = Path("assets/figures")


def headline(root: Path, method: str, file: Path) -> list[dict[str, Any]]:
    """Rows of kept results for a method over all personas.

    Args:
        root: The folder of README.md.
        method: Its name in the rows.
        file: The results file, below `root`.

    Returns:
        The rows; none where the file is not there.

    Raises:
        InputError: The file is no results file.
    """
    path = root / file
    if not path.exists():
        return []
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) and "metric" in row for row in content):
        raise InputError("is not a results file", file=path, expected="a list of rows with a metric", got=content)
    return [row for row in content if row.get("persona") == "all" and row.get("method") == method]
