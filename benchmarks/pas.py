"""PAS against plain references: probes of all heads, a questionnaire after a long description, and many people.

`python -m benchmarks.pas` (or `make bench-pas`) writes `benchmarks/pas.json`. Its figures are explained where they are
measured: `probe_*` and `same_heads` in `benchmarks.pas_probes`, `eval_*`, `same_answers` and `parsed` in
`benchmarks.pas_answers`, `people_*` in `benchmarks.pas_people`. Each reference is measured in the same run as ours,
with the same number of threads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import pas_answers, pas_people, pas_probes
from files.atomic import write_json
from files.provenance import commit_hash, library_versions

RESULT = Path(__file__).with_name("pas.json")


def main(arguments: list[str]) -> None:
    """Run all parts, print their figures and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pas", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    figures = {
        **pas_probes.measure(),
        **pas_answers.measure(),
        **pas_people.measure(),
        "threads": torch.get_num_threads(),
        "versions": library_versions(),
        "commit": commit_hash(),
    }
    write_json(options.output, figures)
    console = Console(stderr=True)
    for name, value in figures.items():
        console.print(f"{name:>24} {value:.4g}" if isinstance(value, float) else f"{name:>24} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
