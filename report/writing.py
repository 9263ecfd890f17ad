"""Writes a report: the page, the Markdown, the pictures, and what TensorBoard shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from files.atomic import atomic_write_bytes, atomic_write_text, ensure_writable_folder
from report.contents import Contents
from report.figures import THEMES, Theme, leaderboard_figure, picture, radar_figure, sweep_figure
from report.leaderboard import MARKDOWN as LEADERBOARD
from report.leaderboard import leaderboard_markdown
from report.markdown import report_markdown
from report.page import page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, MARKDOWN = "report.html", "report.md"


def write_report(it: Contents, folder: str | Path) -> Path:
    """Write `report.html`, `report.md`, `leaderboard.md`, and every picture as PNG and SVG.

    Args:
        it: What to show.
        folder: Where to; made where it is not there.

    Returns:
        The page.

    Raises:
        InputError: The folder cannot be written.
    """
    root = ensure_writable_folder(folder)
    pictures = []
    for name, figure in report_figures(it):
        for kind in ("png", "svg"):
            atomic_write_bytes(root / f"{name}.{kind}", picture(figure, "png" if kind == "png" else "svg"))
        pictures.append(f"{name}.png")
    if it.boards:
        atomic_write_text(root / LEADERBOARD, leaderboard_markdown(it.boards))
    atomic_write_text(root / MARKDOWN, report_markdown(it, pictures))
    return atomic_write_text(root / PAGE, page(it))


def report_figures(it: Contents, theme: Theme = THEMES["light"]) -> Iterator[tuple[str, Figure]]:
    """Every picture of a report with the name of its file.

    Args:
        it: What to show.
        theme: The colours.

    Yields:
        `leaderboard`, `traits-<benchmark>` and `strength-<benchmark>-<method>-<setting>`, with the model where there
        are several.
    """
    models = {board.model for board in it.boards} | {sweep.model for sweep in it.sweeps}
    if it.boards:
        yield "leaderboard", leaderboard_figure(it.boards, theme)
    for one in it.profiles:
        yield file_name("traits", one.benchmark, one.model if len(models) > 1 else ""), radar_figure(one, theme)
    for sweep in it.sweeps:
        model = sweep.model if len(models) > 1 else ""
        yield file_name("strength", sweep.benchmark, sweep.method, sweep.setting, model), sweep_figure(sweep, theme)


def file_name(*parts: str) -> str:
    """Words joined to a name that any file system takes.

    Example:
        >>> file_name("traits", "papi", "assets/tiny ocean", "")
        'traits-papi-assets_tiny_ocean'
    """
    return "-".join(re.sub(r"[^\w.+=-]+", "_", part).strip("_.") for part in parts if part)
