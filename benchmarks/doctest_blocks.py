"""An extension of Markdown for `make docs`: doctests in docstrings are code, wherever in them they stand.

Without it those outside of an `Example:` section would be read as quotations with links.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_PROMPT, _FENCE = ">>> ", "```"


def fenced(lines: Sequence[str]) -> list[str]:
    """Put a fence around every doctest, which ends at a blank line.

    Args:
        lines: Of a text in Markdown.

    Example:
        >>> fenced(["Twice.", "", ">>> 2 * 2", "4"])
        ['Twice.', '', '', '```pycon', '>>> 2 * 2', '4', '```', '']
    """
    found: list[str] = []
    in_fence = in_doctest = False
    indent = ""
    for line in lines:
        bare = line.lstrip()
        if in_doctest and not bare:
            found += [f"{indent}{_FENCE}", ""]
            in_doctest = False
        elif not in_doctest and bare.startswith(_FENCE):
            in_fence = not in_fence
        elif not in_doctest and not in_fence and bare.startswith(_PROMPT):
            indent = line[: len(line) - len(bare)]
            found += ["", f"{indent}{_FENCE}pycon"]
            in_doctest = True
        found.append(line)
    return [*found, f"{indent}{_FENCE}", ""] if in_doctest else found


def makeExtension() -> Any:  # noqa: N802 - the name that Markdown looks for
    """The extension, as Markdown asks a module for it."""
    from markdown import Markdown
    from markdown.extensions import Extension
    from markdown.preprocessors import Preprocessor

    class Doctests(Preprocessor):
        def run(self, lines: list[str]) -> list[str]:
            return fenced(lines)

    class DoctestBlocks(Extension):
        def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
            # After blanks are made alike (30) and before fences are taken out (25).
            md.preprocessors.register(Doctests(md), "doctests", 28)

    return DoctestBlocks()
