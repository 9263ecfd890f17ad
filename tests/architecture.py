"""The house rules as functions from source text to a list of violations; nothing is imported, only parsed."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

# Imports point down only: to a smaller number, or inside the own package.
RANKS = {
    "files": 0,
    **dict.fromkeys(("personas", "lm", "llm"), 1),
    **dict.fromkeys(("interventions", "losses"), 2),
    **dict.fromkeys(("metrics", "editors"), 3),
    **dict.fromkeys(("organism", "report"), 4),
    **dict.fromkeys(("lightning_modules", "callbacks", "datamodules", "annotation", "judging"), 5),
    # The scripts show their help at once and load what they need, a module beside them, for anything else.
    **dict.fromkeys(("persona_cli", "eval_cli", "eval_series", "annotate_cli", "judge_cli", "deployment"), 6),
    **dict.fromkeys(("train", "evaluate", "annotate", "export", "chat"), 7),
    "benchmarks": 8,
    "tests": 9,
}
LONGEST_FILE = 300
LONGEST_FUNCTION = 60
NAMES_WITHOUT_MEANING = {"utils", "util", "helpers", "helper", "common", "misc"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_ARGUMENTS = (("weights_only", False), ("trust_remote_code", True), ("use_safetensors", False))
UNFINISHED = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file: its path below the repository's root, and its text."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @property
    def package(self) -> str:
        """The top-level folder, or the name of a root script."""
        return self.path.parts[0].removesuffix(".py")

    @property
    def shipped(self) -> bool:
        return self.package != "tests"


def imports(source: Source) -> Iterator[tuple[int, str, bool]]:
    """Line, top-level module and whether it is imported with the file (else only when a function runs)."""
    lazy = {
        id(node)
        for function in ast.walk(source.tree)
        if isinstance(function, Function)
        for node in ast.walk(function)
        if node is not function
    }
    for node in ast.walk(source.tree):
        names: list[str] = []
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and _called(node) == "import_module" and node.args:
            first = node.args[0]
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        for name in names:
            yield node.lineno, name.partition(".")[0], id(node) not in lazy


def arrows(source: Source) -> Iterator[str]:
    """Imports that point upward or sideways, and folders that have no rank."""
    own = RANKS.get(source.package)
    if own is None:
        yield f"{source.path}: {source.package!r} has no rank; add it to RANKS and to CONTRIBUTING.md"
        return
    for line, name, _ in imports(source):
        if name in RANKS and name != source.package and RANKS[name] >= own:
            direction = "upward" if RANKS[name] > own else "sideways"
            yield f"{source.path}:{line}: {direction} import of {name!r}"


def undeclared(source: Source, base: set[str], optional: set[str]) -> Iterator[str]:
    """Libraries that the install does not bring: with the file only `base`, inside a function also `optional`."""
    if source.package in {"tests", "benchmarks"}:
        return
    for line, name, at_start in imports(source):
        if name in RANKS or name in sys.stdlib_module_names or name in base:
            continue
        if name not in optional:
            yield f"{source.path}:{line}: {name!r} is not a dependency in pyproject.toml"
        elif at_start:
            yield f"{source.path}:{line}: {name!r} comes with an extra; import it inside the function that needs it"


def sizes(source: Source) -> Iterator[str]:
    """Files and functions that are too long; docstrings of functions do not count."""
    lines = len(source.text.splitlines())
    if lines > LONGEST_FILE:
        yield f"{source.path}: {lines} lines, at most {LONGEST_FILE}"
    for node in ast.walk(source.tree):
        if isinstance(node, Function) and (length := _length(node)) > LONGEST_FUNCTION:
            yield f"{source.path}:{node.lineno}: {node.name} has {length} lines, at most {LONGEST_FUNCTION}"


def names(source: Source) -> Iterator[str]:
    """File and folder names that say nothing, and `__init__.py` files with content."""
    for part in source.path.parts:
        if part.removesuffix(".py") in NAMES_WITHOUT_MEANING:
            yield f"{source.path}: name it after what it does, not {part!r}"
    if source.path.name == "__init__.py" and source.text:
        yield f"{source.path}: must be empty"


def documentation(source: Source) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring or a return annotation."""
    if not source.shipped or source.path.name == "__init__.py":
        return
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: no module docstring"
    for node in _public_definitions(source.tree):
        if not ast.get_docstring(node) and not _is_magic(node.name) and not _is_overload(node):
            yield f"{source.path}:{node.lineno}: {node.name} has no docstring"
        if isinstance(node, Function) and node.returns is None:
            yield f"{source.path}:{node.lineno}: {node.name} has no return annotation"


def unsafe(source: Source) -> Iterator[str]:
    """Ways to execute what was read."""
    if not source.shipped:
        return
    for line, name, _ in imports(source):
        if name in UNSAFE_MODULES:
            yield f"{source.path}:{line}: import of {name!r}"
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            yield f"{source.path}:{node.lineno}: call of {node.func.id}"
        given = {
            (keyword.arg, keyword.value.value) for keyword in node.keywords if isinstance(keyword.value, ast.Constant)
        }
        for argument, value in UNSAFE_ARGUMENTS:
            if (argument, value) in given:
                yield f"{source.path}:{node.lineno}: {argument}={value}"
        if ast.unparse(node.func) == "torch.load" and ("weights_only", True) not in given:
            yield f"{source.path}:{node.lineno}: torch.load without weights_only=True"


def unfinished(source: Source) -> Iterator[str]:
    """Work left for later, and asserts, which vanish under `python -O`."""
    if not source.shipped:
        return
    for number, line in enumerate(source.text.splitlines(), start=1):
        if UNFINISHED.search(line):
            yield f"{source.path}:{number}: unfinished work"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert):
            yield f"{source.path}:{node.lineno}: assert; raise an error instead"
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield f"{source.path}:{node.lineno}: NotImplementedError; make the method abstract"


RULES: tuple[Callable[[Source], Iterator[str]], ...] = (arrows, sizes, names, documentation, unsafe, unfinished)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _length(function: Function) -> int:
    first = function.body[0]
    docstring = 0
    if isinstance(first, ast.Expr) and ast.get_docstring(function) is not None:
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def _public_definitions(node: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Definitions reachable by public names; what stands inside a function is not."""
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and (not child.name.startswith("_") or _is_magic(child.name)):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from _public_definitions(child)


def _is_magic(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
