"""Draw the README's pictures from committed results: `python -m benchmarks.readme_figures` (or `make readme-figures`).

Reads `benchmarks/quickstart.json` and `benchmarks/matrix.json`, whichever is there, and writes each picture of their
report for light and for dark ground into `assets/figures`; pictures of results that are no longer there are removed.
`--keep FOLDER ...` first keeps the rows of finished evaluations that a report shows as `benchmarks/matrix.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.committed import MATRIX, PICTURES, QUICKSTART, REPOSITORY
from files.atomic import atomic_write_bytes, write_json
from files.errors import exit_on_input_error
from metrics.result_rows import ResultRow, find_results, read_results
from report.contents import contents
from report.figures import THEMES, picture
from report.profiles import is_part
from report.sweeps import swept
from report.writing import report_figures


def draw(root: Path) -> list[Path]:
    """Draw every picture of the committed results.

    Args:
        root: The folder of README.md.

    Returns:
        The pictures.

    Raises:
        InputError: A results file is faulty.
    """
    written = []
    for file in (QUICKSTART, MATRIX):
        if not (root / file).is_file():
            continue
        found = contents(read_results(root / file), texts=0)
        for theme, colours in THEMES.items():
            for name, figure in report_figures(found, colours):
                path = root / PICTURES / f"{file.stem}-{name}-{theme}.png"
                written.append(atomic_write_bytes(path, picture(figure)))
    for old in sorted((root / PICTURES).glob("*.png")):
        if old not in written:
            old.unlink()
    return written


def shown(row: ResultRow) -> bool:
    """Whether a report shows a row: a figure over all records, of a trait, of a sweep, or a paired difference."""
    return row.plain or swept(row) or is_part(row) or "_difference/" in row.metric


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep results where asked to, and draw.

    Args:
        arguments: The command line.

    Raises:
        InputError: A results file is missing or faulty.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme_figures", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--keep", nargs="+", metavar="FOLDER", help=f"first keep the results in these as {MATRIX}")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="folder of README.md (default: this checkout)")
    options = parser.parse_args(arguments)
    if options.keep:
        rows = [row for file in find_results(options.keep) for row in read_results(file) if shown(row)]
        write_json(options.root / MATRIX, [dict(row.raw) for row in rows])
    pictures = draw(options.root)
    sys.stdout.write(f"{len(pictures)} pictures in {options.root / PICTURES}\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
