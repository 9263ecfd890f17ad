"""Readers fed by a fuzzer that is guided by the lines of code they reach: `python -m tests.faults.guided --help`.

Our packages are instrumented as they are imported, once; each reader is then fuzzed in a process of its own, for the
fuzzer ends the process it runs in. What it keeps starts from the reader's whole file.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

from tests.documented import REPOSITORY
from tests.faults.hostile import PIECES

_READ = ("yaml", *(found.parent.name for found in REPOSITORY.glob("*/__init__.py") if found.parent.name != "tests"))
with atheris.instrument_imports(include=list(_READ)):
    from tests.faults.readers import READERS, Reader, outcome

SECONDS, MEGABYTES = 30, 4096
_COUNT, _LONGEST_WORD = 8, 32


def guided(name: str, runs: int, folder: Path) -> dict[str, Any]:
    """Fuzz one reader in a child process.

    Args:
        name: Of the reader.
        runs: Files to give it.
        folder: Where its files, the fuzzer's words and a file that broke it go.

    Returns:
        How many files it was given, and the fuzzer's exit code: 0 if each was read or refused.
    """
    reader, count = READERS[name], mmap.mmap(-1, _COUNT)  # memory that the child shares
    (folder / "kept").mkdir(parents=True)
    (folder / "read").mkdir()
    (folder / "kept" / "whole").write_bytes(reader.sample())
    words = [piece for piece in PIECES if len(piece) <= _LONGEST_WORD]
    (folder / "words").write_text("".join(map(_word, words)))
    child = os.fork()
    if not child:
        _fuzz(reader, runs, folder, count)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"reader": name, "tried": int.from_bytes(count[:], "little"), "code": code}


def _word(piece: bytes) -> str:
    """A line of the fuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"\n'


def _fuzz(reader: Reader, runs: int, folder: Path, count: mmap.mmap) -> None:
    """Never returns: the fuzzer ends the process."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    file = folder / "read" / reader.name
    longest = max(1000, 2 * len(reader.sample()))
    options: dict[str, object] = {
        "runs": runs,
        "seed": 1,
        "timeout": SECONDS,
        "rss_limit_mb": MEGABYTES,
        "max_len": longest,
    }
    options |= {"len_control": 0, "dict": folder / "words", "artifact_prefix": f"{folder}/broken-"}
    given = ["guided", *(f"-{option}={value}" for option, value in options.items()), str(folder / "kept")]
    atheris.Setup(given, _reading(reader, file, count), enable_python_coverage=True)
    atheris.Fuzz()
    os._exit(1)


def _reading(reader: Reader, file: Path, count: mmap.mmap) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        count[:] = (int.from_bytes(count[:], "little") + 1).to_bytes(_COUNT, "little")
        file.write_bytes(content)
        outcome(reader, file)

    return read


def main() -> None:
    """Fuzz readers one after the other, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.guided", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="files for each reader (10000)")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder: a folder for each reader goes there")
    parser.add_argument("readers", nargs="*", metavar="READER", help="names of readers (all)")
    options = parser.parse_args()
    for number, name in enumerate(options.readers or READERS):
        found = guided(name, options.runs, options.folder / str(number))
        sys.stdout.write(f"{json.dumps(found)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
