"""The commands and the Python that README.md and the pages of docs/ show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_BEGINS = ("python ", "make ", "pip install ", "sbatch ", "tensorboard ")
# What stands for something of the reader's own, and a value of the right kind.
_STAND_INS = {"N": "1"}
# "and further options", in prose.
_FURTHER = {"DATA", "..."}


def fenced(page: Path, language: str) -> list[str]:
    """The blocks of a language on a page."""
    return [text for found, text in _FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def commands() -> dict[str, list[str]]:
    """Every command that is shown, cut into words, by the page and its own text; each is there once."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, ...]] = set()
    for page in PAGES:
        for line in _lines(page):
            words = shlex.split(line, comments=True)
            words = [_STAND_INS.get(word, word) for word in words if word not in _FURTHER]
            if words and tuple(words) not in seen:
                seen.add(tuple(words))
                found[f"{page.relative_to(REPOSITORY)}: {line}"] = words
    return found


def settings_files() -> list[Path]:
    """The settings files that are complete; those of configs/cluster are merged onto another."""
    found = sorted((REPOSITORY / "configs").rglob("*.yaml"))
    return [file for file in found if file.parent.name != "cluster"]


def head_commands(file: Path) -> list[list[str]]:
    """The commands in the head of a settings file, cut into words."""
    head = re.match(r"(#.*\n)*", file.read_text(encoding="utf-8"))
    text = "" if head is None else re.sub(r"\\\n# *", " ", head.group())
    shown = [line.removeprefix("#   ") for line in text.splitlines()]
    words = [shlex.split(line, comments=True) for line in shown if line.startswith(_BEGINS)]
    return [[_STAND_INS.get(word, word) for word in line if word not in _FURTHER] for line in words]


def _lines(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for block in fenced(page, "bash"):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())
    for span in _SPAN.findall(_FENCE.sub("", text)):
        line = " ".join(span.split())
        if line.startswith(_BEGINS):
            yield line
