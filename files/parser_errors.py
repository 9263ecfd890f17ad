"""What a parser of command lines and settings files refuses, said in a few lines instead of a tree of types."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import re
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import NoReturn

from jsonargparse import ArgumentParser

from files.errors import InputError

# Lines of jsonargparse that say how it looked, and not what it found.
_HOW = (
    *("Does not validate against", "Subtypes:", "Errors:", "Given value", "Not a valid subclass of", "Subclass types"),
    *("a class path (str)", "a dict with", "a dict without", "Expected a <class 'NoneType'>"),
)
_KEY = re.compile(r"""Parser key ["'](.+?)["']:\s*(.*)""")
_CLASS = re.compile(r"Problem with given class_path '(.+)':")
_OPTION = re.compile(r"(?:Option|Key|Subcommand '\w+' does not accept option) '?(.+?)'?(?: is not accepted.*)?")
_NO_NAME = re.compile(r"(?:module|type object) '(.+)' has no attribute '(.+)'")
_NO_MODULE = re.compile(r"No module named '(.+)'")
_NO_SUBCLASS = re.compile(r"Import path (\S+) does not correspond to a subclass of (\w+)")
_TYPE = re.compile(r"Expected a (.+?)(?:\. Got value: (.*))?")
_GIVEN = re.compile(r"Given value: (.*)")
_MISSING = re.compile(r"the following arguments are required: (.+)")
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+).*")
_NO_FILE = re.compile(r"(?:File does not exist|Path is not a file): '?(.+?)'?")
_NO_SETTINGS = re.compile(r"Unexpected config: ?(.*)")
_WORDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'str'>": "a text",
    "<class 'bool'>": "true or false",
}


class PlainErrors(ArgumentParser):
    """A parser that ends on an `InputError` where it would print its usage and a tree of what it tried."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse a command line.

        Raises:
            InputError: Always, unless the parser is one that raises its own errors.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise explained(message, self.usage or "") from ex


@dataclass
class _Found:
    """What a refusal says.

    Attributes:
        keys: Names of settings, from the outermost to the one that is wrong.
        owner: Dotted path of the class that the setting belongs to.
        said: The lines that say what is wrong.
        given: What came instead, as far as it is short.
    """

    keys: list[str] = field(default_factory=list)
    owner: str | None = None
    said: list[str] = field(default_factory=list)
    given: str | None = None


def explained(message: str, usage: str = "") -> InputError:
    """The error that says what a parser has found.

    Args:
        message: What jsonargparse says.
        usage: How the program is called, for the next step.

    Example:
        >>> print(explained("unrecognized arguments: --nonsense 3"))
        field '--nonsense': is not known here
          next step: correct it in the settings file or on the command line
    """
    found = _read(message)
    fix = "correct it in the settings file or on the command line"
    program = re.match(r"python \w+\.py(?: \w+)?(?= |$)", usage)
    if program is not None and "evaluate" not in program[0]:
        fix += f"; {program[0]} --help lists every option"
    elif program is not None:
        fix += f"; {program[0]} --options lists every one"
    problem, name, expected = _problem(found)
    where = ".".join([*found.keys, *([name] if name is not None else [])]) or None
    error = InputError(problem, field=where, expected=expected, fix=fix)
    if found.given is not None:
        error = InputError(problem, field=where, expected=expected, got=_Plain(found.given), fix=fix)
    return error


class _Plain(str):
    """A text that is shown as it is."""

    def __repr__(self) -> str:
        return str(self)


def _read(message: str) -> _Found:
    found = _Found()
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if key := _KEY.fullmatch(text):
            found.keys.append(key[1])
            text = key[2]
        if owner := _CLASS.fullmatch(text):
            found.owner = owner[1]
        elif (given := _GIVEN.fullmatch(text)) and len(given[1]) < 80 and "Namespace(" not in given[1]:
            found.given = given[1] if "NestedArg(" not in given[1] else None
        elif text and not text.startswith(_HOW):
            found.said.append(text)
    return found


def _problem(found: _Found) -> tuple[str, str | None, str | None]:
    """What is wrong, the setting's own name where it is not among the keys, and what would be right."""
    kinds = [match for text in found.said if (match := _TYPE.fullmatch(text))]
    if kinds and len(kinds) == len(found.said):
        found.given = next((kind[2] for kind in kinds if kind[2] is not None), found.given)
        return "has the wrong type or value", None, " or ".join(dict.fromkeys(_in_words(kind[1]) for kind in kinds))
    said = next((text for text in found.said if not _TYPE.fullmatch(text)), "cannot be read")
    if match := _NO_NAME.fullmatch(said):
        return f"there is no {match[1]}.{match[2]}", None, _near(match[2], _names_in(sys.modules.get(match[1])))
    if match := _NO_MODULE.fullmatch(said):
        return f"there is no module {match[1]}", None, "the whole dotted path of a class"
    if match := _NO_SUBCLASS.fullmatch(said):
        other = "; settings of evaluate.py are not for train.py, nor the other way round"
        mixed = other if "Module" in match[2] and "Module" in match[1] else ""
        return f"{match[1]} is no {match[2]}{mixed}", None, f"the dotted path of a {match[2]}"
    if match := _MISSING.fullmatch(said):
        return "is missing", match[1], None
    if match := _UNKNOWN.fullmatch(said):
        return "is not known here", match[1], None
    if match := _NO_FILE.fullmatch(said):
        return "there is no such file", None, f"a file at {match[1]}"
    if match := _NO_SETTINGS.fullmatch(said):
        return "holds no settings", "--config", "a settings file (YAML) with keys such as model, data and trainer"
    if match := _OPTION.fullmatch(said):
        of = f" by {found.owner}" if found.owner is not None else ""
        return f"is not known{of}", match[1], _near(match[1], _options_of(found.owner))
    return said, None, None


def _in_words(kind: str) -> str:
    if kind.startswith("typing.Literal["):
        return f"one of {kind.removeprefix('typing.Literal[').removesuffix(']')}"
    return _WORDS.get(kind, kind)


def _near(name: str, known: list[str]) -> str | None:
    """The known names that are most like one."""
    lower = {one.lower(): one for one in known}
    near = [lower[one] for one in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    return f"such as {', '.join(near)}" if near else None


def _names_in(module: object) -> list[str]:
    if not isinstance(module, ModuleType):
        return []
    below = [one.name for one in pkgutil.iter_modules(getattr(module, "__path__", []))]
    return [*below, *(name for name, value in vars(module).items() if inspect.isclass(value))]


def _options_of(path: str | None) -> list[str]:
    module, _, name = (path or "").rpartition(".")
    owner = getattr(sys.modules.get(module), name, None)
    return list(inspect.signature(owner).parameters) if inspect.isclass(owner) else []
