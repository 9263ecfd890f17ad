"""The command line of `annotate.py`: a parser for each command, made from its signature."""

from __future__ import annotations

import dataclasses
import inspect
import re
from contextlib import nullcontext
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from annotation.further_commands import COMMANDS
from annotation.options import SourceOptions, WriterOptions
from files.locked_folder import locked_folder
from files.parser_errors import PlainErrors

# Their options are given flat, as --base_url and not --writer.base_url.
_SHARED: dict[str, type] = {"sources": SourceOptions, "writer": WriterOptions}
# All others write into the folder of an annotation; of two at a time each would lose what the other has noted.
_READING = ("chat", "export")


class _CommandErrors(PlainErrors):
    """Names options as they are typed: --file, and not export.file."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse a command line.

        Raises:
            InputError: Always.
        """
        super().error(re.sub(rf"(?<= )(?:{'|'.join(COMMANDS)})\.(?=\w)", "--", message), ex)


def run(arguments: list[str]) -> None:
    """Carry out a command.

    Raises:
        InputError: The user gave something wrong.
        SystemExit: The arguments cannot be parsed (code 2), or help was asked for.
    """
    parsed = _parser().parse_args(arguments)
    name = parsed.subcommand
    command = COMMANDS[name]
    given: Namespace = parsed[name]
    values = {key: value for key, value in given.as_dict().items() if key != "config"}
    named: dict[str, Any] = {}
    parameters = inspect.signature(command).parameters
    for group, kind in _SHARED.items():
        if group in parameters:
            fields = [field.name for field in dataclasses.fields(kind)]
            named[group] = kind(**{field: values.pop(field) for field in fields})
    with nullcontext() if name in _READING else locked_folder(values["out"], "--out"):
        command(**named, **values)


def _parser() -> ArgumentParser:
    parser = _CommandErrors(
        prog="annotate.py",
        usage="python annotate.py COMMAND [--KEY VALUE ...]",
        description="Build the training data of a character (python annotate.py --help is a short page).",
    )
    commands = parser.add_subcommands()
    for name, command in COMMANDS.items():
        own = PlainErrors(
            usage=f"python annotate.py {name} [--config FILE] [--KEY VALUE ...]", description=_first_line(command)
        )
        own.add_argument("--config", action="config", help="a YAML file with any of the options")
        shared: set[str | int] = {group for group in _SHARED if group in inspect.signature(command).parameters}
        own.add_function_arguments(command, skip=shared, as_group=False)
        for group in sorted(map(str, shared)):
            own.add_class_arguments(_SHARED[group], nested_key=None, as_group=True)
        commands.add_subcommand(name, own)
    return parser


def _first_line(command: Any) -> str:
    return (inspect.getdoc(command) or "").partition("\n")[0]
