"""Where the project's own files lie, however a command is started."""

from __future__ import annotations

from pathlib import Path

from files.provenance import REPOSITORY

ASSETS = "assets"


def asset_path(name: str | Path) -> Path:
    """A path as it was given; one below `assets/` that is not there is taken from this checkout.

    Args:
        name: A file or folder, as seen from the current folder.

    Returns:
        The path; whether anything is there is for the reader to say.

    Example:
        >>> asset_path("runs/mine").as_posix(), asset_path("assets/tiny-ocean/config.json").is_file()
        ('runs/mine', True)
    """
    path = Path(name)
    if not path.exists() and path.parts[:1] == (ASSETS,):
        return REPOSITORY / path
    return path
