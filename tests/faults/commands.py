"""Runs the entry points in this process and looks at how they end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Ended:
    """How a command ended: its exit code, and what it wrote to stderr."""

    code: int
    message: str

    def says(self, *parts: str) -> None:
        """It ended on bad input, without a traceback, and its message holds all of these and a next step."""
        assert self.code == 2, self.message
        assert "Traceback" not in self.message
        for part in (*parts, "next step:"):
            assert part in self.message, f"{part!r} is not in:\n{self.message}"


def ended(main, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Ended:
    """Run an entry point."""
    capsys.readouterr()
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    return Ended(code, re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err))


def files_in(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()
