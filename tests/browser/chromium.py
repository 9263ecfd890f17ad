"""A headless Chromium of the system that keeps account of what pages say and ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Heard:
    """What a page did.

    Attributes:
        errors: Messages on its console, and errors of its scripts.
        requests: Addresses that it asked for.
        dialogs: Dialogs that it opened.
    """

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium; the test is skipped where there is none, or no playwright."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium here: `make browser` installs Debian's")
    playwright = pytest.importorskip("playwright.sync_api", reason="`make browser` installs playwright")
    # Chromium refuses its sandbox to root, as whom containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Any, address: str, scheme: str, size: str) -> Iterator[tuple[Any, Heard]]:
    """A page opened at an address, in a colour scheme and at a size, and what it does."""
    width, height = SIZES[size]
    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    heard = Heard()
    page.on("console", lambda message: heard.errors.append(message.text))
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("request", lambda request: heard.requests.append(request.url))

    def close(dialog: Any) -> None:
        heard.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", close)
    page.goto(address)
    yield page, heard
    page.close()
