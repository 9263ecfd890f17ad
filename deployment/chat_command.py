"""The command line of `chat.py`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from jsonargparse import ArgumentParser

from deployment.chat_page import ChatPage, method_files
from deployment.chat_room import ChatRoom
from deployment.local_only import HOST, check_port
from files.assets import asset_path
from files.atomic import ensure_writable_folder
from files.errors import InputError
from files.parser_errors import PlainErrors
from files.provenance import REPOSITORY
from lm.classifier import ClassifierSpec

FIRST = "simple_prompt"
METHODS = "configs/eval/personality_bench"


def chat(
    models: list[str] | None = None,
    methods: list[str] | None = None,
    classifier: str = "assets/tiny-classifier",
    port: int = 7860,
    out: str = "runs/chat",
    browser: bool = False,
) -> None:
    """Serve a page to talk to a model and to personas of it.

    Args:
        models: folders or names of models to choose from; the built-in model if left out
        methods: settings files of evaluate.py to choose from; those of configs/eval/personality_bench if left out
        classifier: reads traits off answers; an empty text shows no bars
        port: where the page is served, on this machine alone
        out: folder for saved conversations, and for what methods learn
        browser: open a browser on the page

    Raises:
        InputError: The port is taken, a library is missing, or something that was named is not there.
    """
    check_port(port)
    if find_spec("gradio") is None:
        fix = 'pip install "oceantune[demo]"'
        raise InputError("a package is not installed", field="chat.py", expected="the package gradio", fix=fix)
    ensure_writable_folder(out)
    room = ChatRoom(
        [_where_it_lies(name) for name in models or ["assets/tiny-ocean"]],
        _methods(methods),
        ClassifierSpec(classifier) if classifier else None,
        Path(out),
    )
    sys.stdout.write(f"http://{HOST}:{port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    ChatPage(room).serve(port, browser)


def _where_it_lies(model: str) -> str:
    """The folder of a model below `assets/`; any other name as it was given, since its beginning says what it is."""
    found = asset_path(model)
    return str(found) if found.is_dir() else model


def _methods(files: list[str] | None) -> dict[str, str]:
    """Settings files by name, prompts first: they need neither training nor learning."""
    if files is not None:
        missing = [file for file in files if not asset_path(file).is_file()]
        if missing or not files:
            raise InputError(
                "there is no such settings file",
                field="--methods",
                expected="files such as configs/eval/personality_bench/repe.yaml",
                got=missing[0] if missing else files,
                fix="correct the path",
            )
        return {Path(file).stem: file for file in files}
    found = method_files(REPOSITORY / METHODS)
    return {FIRST: found[FIRST]} | found if FIRST in found else found


def run(arguments: list[str]) -> None:
    """Carry out a command line.

    Raises:
        InputError: The user gave something wrong.
        SystemExit: The arguments cannot be parsed (code 2), or help was asked for.
    """
    chat(**_parser().parse_args(arguments).as_dict())


def _parser() -> ArgumentParser:
    parser = PlainErrors(
        prog="chat.py",
        usage="python chat.py [--KEY VALUE ...]",
        description="Talk to a model and to personas of it (python chat.py --help is a short page).",
    )
    parser.add_function_arguments(chat, as_group=False)
    return parser
