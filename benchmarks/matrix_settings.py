"""What the settings of the matrix name: files, what other commands have trained, and how much of it all is taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from files.assets import asset_path
from files.errors import InputError
from files.provenance import data_hash

SIZES = Path(__file__).with_name("matrix_sizes.yaml")
EVALUATIONS, TRAININGS = "evaluations", "trainings"
DONE, LAST = "matrix.json", Path("checkpoints", "last.ckpt")


@dataclass(frozen=True)
class Training:
    """A training that cells need.

    Attributes:
        recipe: Its settings file.
        settings: What stands in it, in the size that is taken here.
        folder: Where its run is written.
        key: What its outcome depends on, beside the code: the settings and the files they name.
    """

    recipe: str
    settings: Mapping[str, Any]
    folder: Path
    key: str

    @property
    def checkpoint(self) -> Path:
        """What it leaves."""
        return self.folder / LAST

    @property
    def note(self) -> Path:
        """Where it is written down whether it has finished."""
        return self.folder / DONE


def training(recipe: str, root: Path, sizes: Mapping[str, Any]) -> Training:
    """The training by a recipe, in a folder below that of the matrix."""
    settings = resized(yaml.safe_load(Path(recipe).read_text(encoding="utf-8")), sizes)
    contents = [data_hash(path) for path in named_files(settings)]
    key = hashlib.sha256(json.dumps([settings, contents], sort_keys=True, default=str).encode()).hexdigest()
    return Training(recipe, settings, root / "train" / Path(recipe).parent.name, key)


def named_files(settings: Any) -> Iterator[Path]:
    """The files and folders that settings name."""
    if isinstance(settings, Mapping):
        for value in settings.values():
            yield from named_files(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from named_files(value)
    elif isinstance(settings, str) and "/" in settings and asset_path(settings).exists():
        yield asset_path(settings)


def trained_paths(settings: Any) -> Iterator[str]:
    """What settings take from runs of other commands: every text that begins like a path in `runs`."""
    if isinstance(settings, Mapping):
        for value in settings.values():
            yield from trained_paths(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from trained_paths(value)
    elif isinstance(settings, str) and settings.startswith("runs/"):
        yield settings


def maker_of(path: str) -> str | None:
    """The recipe whose runs lie where a path of settings points to, if there is one: `runs/<method>` is a quickstart's.

    Example:
        >>> maker_of("runs/sae/sae"), maker_of("runs/nowhere/sae"), maker_of("assets/data")
        ('configs/sae/quickstart.yaml', None, None)
    """
    runs, _, rest = path.partition("/")
    recipe = Path("configs", rest.partition("/")[0], "quickstart.yaml")
    return str(recipe) if runs == "runs" and rest and asset_path(recipe).is_file() else None


def own_folder(recipe: str) -> str:
    """Where the settings of other commands look for what a recipe has trained.

    Example:
        >>> own_folder("configs/sae/quickstart.yaml")
        'runs/sae'
    """
    return f"runs/{Path(recipe).parent.name}"


def relocated(settings: Any, moved: Mapping[str, str]) -> Any:
    """Settings with some folders elsewhere.

    Example:
        >>> relocated({"autoencoder": "runs/sae/sae", "k": 1}, {"runs/sae": "other"})
        {'autoencoder': 'other/sae', 'k': 1}
    """
    if isinstance(settings, Mapping):
        return {name: relocated(value, moved) for name, value in settings.items()}
    if isinstance(settings, list):
        return [relocated(value, moved) for value in settings]
    for before, after in moved.items():
        if isinstance(settings, str) and settings.startswith(f"{before}/"):
            return after + settings.removeprefix(before)
    return settings


def read_sizes(file: Path) -> dict[str, Mapping[str, Any]]:
    """How much of each benchmark and training is taken, under `evaluations` and `trainings`.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError("cannot be read", file=file, got=str(error)) from error
    return {name: (found or {}).get(name) or {} for name in (EVALUATIONS, TRAININGS)}


def resized(settings: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some values replaced; a part that they do not have is not added.

    Example:
        >>> resized({"data": {"people": 50}}, {"data": {"people": 20}, "side_effects": {"records": 5}})
        {'data': {'people': 20}}
    """
    found = dict(settings)
    for name, value in sizes.items():
        if not isinstance(value, Mapping):
            found[name] = value
        elif isinstance(settings.get(name), Mapping):
            found[name] = resized(settings[name], value)
    return found
