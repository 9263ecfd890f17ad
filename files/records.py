"""The records of a data set, wherever it lies: in a local file, or in a data set of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, cast

from files.errors import InputError
from files.json_stream import read_json_records
from files.readers import read_csv_rows, read_json_lines

HUB = "hub:"
"""How the name of a data set of the hub begins, as in `hub:owner/name@revision#configuration`."""

_OTHER_NAMES = {"val": ("validation", "valid", "dev")}

Record = tuple[int, Mapping[str, Any]]


def is_hub(source: str | Path) -> bool:
    """Whether a source is a data set of the hub.

    Example:
        >>> is_hub("hub:mirlab/TRAIT"), is_hub("assets/data/trait")
        (True, False)
    """
    return str(source).startswith(HUB)


def read_records(source: str | Path, split: str | None = None, file: str | None = None) -> Iterator[Record]:
    """Read the records of a data set, one at a time.

    Args:
        source: A file (.csv, .jsonl, or .json with one list or with one object per line), or `hub:owner/name`, to which
            `@revision` and `#configuration` may be added.
        split: Which split of a hub data set; all of them, one after another, where it is left out.
        file: Which file of a hub data set, where it is not declared as a split.

    Yields:
        Number of the record (line from 1 in tables and lines, index from 0 in lists and hub data sets), and the record.

    Raises:
        InputError: If it cannot be read. In a file with one object per line, a blank line before the last record is a
            fault too.
    """
    if is_hub(source):
        return _hub_records(str(source), split, file)
    path = Path(source)
    if path.suffix.lower() == ".csv":
        return read_csv_rows(path)
    if path.suffix.lower() == ".jsonl" or _first_mark(path) != "[":
        return _unbroken(path)
    return read_json_records(path)


def parts_of_hub_name(source: str) -> tuple[str, str | None, str | None]:
    """Name, revision and configuration of a hub data set.

    Example:
        >>> parts_of_hub_name("hub:owner/name@v2#full")
        ('owner/name', 'v2', 'full')
        >>> parts_of_hub_name("hub:owner/name")
        ('owner/name', None, None)
    """
    rest, _, configuration = source.removeprefix(HUB).partition("#")
    name, _, revision = rest.partition("@")
    return name, revision or None, configuration or None


def _first_mark(path: Path) -> str:
    """The first character of a file that is no white space; nothing where there is none, or no file."""
    try:
        with path.open("rb") as stream:
            return next((text[:1].decode("utf-8", "replace") for line in stream if (text := _bare(line))), "")
    except OSError:
        return ""


def _bare(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").strip()


def _unbroken(path: Path) -> Iterator[Record]:
    """Lines of objects; a gap shows that something was lost."""
    before = 0
    for number, record in read_json_lines(path):
        if number != before + 1:
            raise InputError(
                "is blank",
                file=path,
                row=before + 1,
                expected="one JSON object per line",
                got="",
                fix="remove the line, or fetch the file again if a record is missing there",
            )
        before = number
        yield number, record


def _hub_records(source: str, split: str | None, file: str | None) -> Iterator[Record]:
    name, revision, configuration = parts_of_hub_name(source)
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "needs the library datasets",
            file=source,
            expected="the extra hub",
            fix="pip install 'oceantune[hub]', or fetch the files and name their folder",
        ) from error
    named = {"data": file} if file is not None else None
    try:
        loaded = _splits(datasets, name, configuration, named, revision)
    except Exception as error:  # the library, its readers and the network all raise errors of their own
        raise InputError(
            "cannot be loaded from the hub",
            file=source if file is None else f"{source}, {file}",
            expected="the name of a data set on the hub, or of a folder that `datasets` can load",
            got=(str(error).strip() or type(error).__name__).split("\n")[0],
            fix="check the name and the network, or fetch the files and name their folder",
        ) from error
    split = next((name for name in (split, *_OTHER_NAMES.get(split or "", ())) if name in loaded), split)
    if split is not None and split not in loaded:
        raise InputError(
            f"has no split {split!r}",
            file=source,
            expected=f"one of {', '.join(loaded)}",
            got=split,
            fix="name a split that is there, or fetch the files and name their folder",
        )
    parts = [loaded[split]] if split is not None else list(loaded.values())
    return enumerate(chain.from_iterable(parts))


def _splits(
    datasets: Any, name: str, configuration: str | None, named: dict[str, str] | None, revision: str | None
) -> Mapping[str, Any]:
    """All splits of a data set; where their columns differ, so that they share no table, each is read by itself."""
    try:
        return cast(Mapping[str, Any], datasets.load_dataset(name, configuration, data_files=named, revision=revision))
    except datasets.exceptions.DatasetGenerationError:
        builder = datasets.load_dataset_builder(name, configuration, data_files=named, revision=revision)
        files = builder.config.data_files
        if not files or len(files) < 2:
            raise
        return {
            str(split): datasets.load_dataset(builder.name, data_files={str(split): list(files[split])}, split=split)
            for split in files
        }
