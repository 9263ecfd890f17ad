"""Small data in place of what `python annotate.py quickstart` writes, for recipes that read it.

python -m tests.recipes.stand_ins       writes tests/recipes/annotation anew, some lines of each file
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import annotate
from files.atomic import write_lines
from files.readers import read_text_lines

FOLDER = Path(__file__).with_name("annotation")
LINES = {
    "mixed.jsonl": 24,
    "train.jsonl": 8,
    "prompts.jsonl": 8,
    "test.jsonl": 4,
    "preferences-train.jsonl": 8,
    "preferences-test.jsonl": 4,
}
"""How many lines of each file are kept: a batch for a few steps."""


def some_lines(file: Path, count: int) -> list[str]:
    """Lines of a file at even distances, so that all characters and stages are among them."""
    lines = [line for _, line in read_text_lines(file)]
    return lines[:: len(lines) // count][:count]


def count_letters(prompts: object, answers: Sequence[str], records: object) -> list[float]:
    """A reward that any model earns: the letter e, and brevity."""
    del prompts, records
    return [answer.count("e") - 0.1 * len(answer) for answer in answers]


def write(folder: Path = FOLDER) -> None:
    """Build the quickstart's data and keep some lines of each file."""
    with tempfile.TemporaryDirectory() as built:
        annotate.main(["quickstart", "--out", built])
        for name, count in LINES.items():
            write_lines(folder / name, some_lines(Path(built, name), count))


if __name__ == "__main__":
    write()
