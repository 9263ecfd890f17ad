"""Somebody who types what README.md and docs/ show, in a folder of their own, offline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.documented import REPOSITORY, fenced
from tests.documented_plan import Words, needs, shortened

_PAPI = "assets/data/papi"
# What a page leaves to `--help`, and what is typed where a command asks.
_LEFT_OUT = {
    "personality": [
        *("--people", f"{_PAPI}/Test-set.json", "--items", f"{_PAPI}/IPIP-NEO-ItemKey.csv"),
        *("--split", f"{_PAPI}/mpi_300_split.json", "--count", "2"),
    ]
}
_NUMBERS = count(1)
_TYPED = {"chat": "Where do you live?\n\n", "answer": "Be brief.\nok\n"}


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it said, and when it began."""

    words: Words
    code: int
    said: str
    began: float


class Reader:
    """Gives commands, each once, in a checkout whose `runs` are empty.

    Args:
        folder: Where the checkout is made.
        endpoint: URL of a chat model.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.ended: dict[Words, Ended] = {}  # by what is typed here, which two pages may put otherwise
        for entry in REPOSITORY.iterdir():
            if entry.name != "runs" and not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        self.meant = {
            "CHECKPOINT": "runs/quickstart/checkpoints/last.ckpt",
            "RECIPE": "configs/sft/quickstart.yaml",
            "FILE": str(_characters(folder)),
            "NAME": "scripted",
            "URL": endpoint,
            "http://127.0.0.1:8000/v1": endpoint,
        }

    def give(self, words: Words) -> Ended:
        """Give a command, shortened, and before it those that make what it reads.

        Raises:
            AssertionError: One of those failed.
        """
        typed = self.prepared(words)
        if typed not in self.ended:
            self.ended[typed] = self._run(typed)
        return self.ended[typed]

    def prepared(self, words: Words) -> Words:
        """A command as it is typed here, once all that it reads is made.

        Raises:
            AssertionError: A command that makes something of it failed.
        """
        for earlier in needs(words):
            made = self.give(earlier)
            assert made.code == 0, f"{' '.join(made.words)}\n{made.said}"
        left_out = _LEFT_OUT.get(" ".join(words[2:]), [])
        return (sys.executable, *self._meant(words[1:]), *left_out, *shortened(words))

    def _meant(self, words: Words) -> Iterator[str]:
        for word in words:
            if word.startswith("runs/") and "*" in word:
                yield from sorted(str(found.relative_to(self.folder)) for found in self.folder.glob(word))
            else:
                yield self.meant.get(word, word)

    def _run(self, words: Words) -> Ended:
        if words[1] == "export.py" and "--out" in words:  # two pages export to one folder, which must be new
            shutil.rmtree(self.folder / words[words.index("--out") + 1], ignore_errors=True)
        began = time.time()
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            input=_TYPED.get(words[2], "") if len(words) > 2 else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        log = self.folder / f"said-{len(self.ended):03}.txt"
        log.write_text(f"{' '.join(words)}\n{time.time() - began:.0f} s, exit code {done.returncode}\n{done.stdout}")
        return Ended(words, done.returncode, done.stdout, began)


def _characters(folder: Path) -> Path:
    """The tutorial's list of characters, with the files that it names."""
    file = folder / "characters.yaml"
    file.write_text(fenced(REPOSITORY / "docs" / "tutorial.md", "yaml")[0], encoding="utf-8")
    for kind in ("knowledge", "style"):
        text = folder / "ada" / f"early_{kind}.txt"
        text.parent.mkdir(exist_ok=True)
        things = ("a brass clock", "two black cats", "the school bell", "a leaking boat", "old maps", "a tin drum")
        text.write_text("".join(f"Ada Example once looked after {thing} for a year.\n" for thing in things))
    return file


def scripted(said: str) -> str:
    """What the chat model says: to a judge a rating or ranking, to an annotator a question, else an answer."""
    if "[[" in said:
        answers = len(re.findall(r"<answer", said))
        return f"Ranking: [[{' > '.join(map(str, range(1, answers + 1)))}]]" if "Ranking:" in said else "Rating: [[3]]"
    if said.startswith(("About", "Words of")):
        return f"What is thing{next(_NUMBERS)}?"  # no two of them alike
    return f"Oh! {said[:80]} I thought of {next(_NUMBERS)} things."  # never twice the same
