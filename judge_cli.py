"""The command line of judging: `python evaluate.py --judge FOLDER ...` and `python evaluate.py --check-judge`."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from jsonargparse import ArgumentParser

from files.atomic import ensure_writable_folder, write_json
from judging.check import Check, can_check, check_judge
from judging.judge import Judge
from judging.protocol import Protocol, read_protocol
from judging.runs import Run, judge_run
from llm.client import ChatClient
from llm.options import EndpointOptions

FOLDER = "runs/judge"
CACHE, CHECKS = "answers.sqlite", "check"
_CHECKED_BY = "pae"


def run(arguments: Sequence[str]) -> None:
    """Judge finished evaluations, or check a judge.

    Raises:
        InputError: The user gave something wrong, or the endpoint refuses everything.
        SystemExit: The arguments cannot be parsed (code 2), or help was asked for.
    """
    given = _parser().parse_args(list(arguments)).as_dict()
    names = [one.name for one in dataclasses.fields(EndpointOptions)]
    options = EndpointOptions(**{name: given[name] for name in names})
    protocols = [read_protocol(name, given["repeats"]) for name in given["protocols"]]
    folders = [] if given["check_judge"] else given["judge"] or []
    for folder in folders:  # what cannot be judged is found before anything is asked
        Run.read(folder)
    out = Path(given["out"])
    settings = options.client_settings(str(out / CACHE))
    settings.check()
    ensure_writable_folder(out)
    with closing(ChatClient(settings)) as client:
        judge = Judge(client)
        checked = given["check"] or given["check_judge"]
        checks = _checks(judge, protocols, given["repeats"], out) if checked else {}
        for folder in folders:
            for line in judge_run(folder, judge, protocols, checks):
                sys.stdout.write(f"{line}\n")


def _checks(judge: Judge, protocols: Sequence[Protocol], repeats: int | None, out: Path) -> dict[str, Check]:
    """Check a judge by each protocol, or by a protocol that can where one cannot; each check is done once."""
    done: dict[str, Check] = {}
    checks = {}
    for protocol in protocols:
        by = protocol if can_check(protocol) else read_protocol(_CHECKED_BY, repeats)
        if by.identity not in done:
            done[by.identity] = check_judge(judge, by)
            write_json(out / f"{CHECKS}-{_file_name(judge.name)}-{by.name}.json", done[by.identity].figures())
            sys.stdout.write(f"{done[by.identity]}\n")
        checks[protocol.name] = done[by.identity]
    return checks


def _file_name(text: str) -> str:
    """A text as part of a file's name.

    Example:
        >>> _file_name("vendor/model:7b")
        'vendor_model_7b'
    """
    return re.sub(r"[^\w.+-]", "_", text)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="evaluate.py",
        usage="python evaluate.py --judge FOLDER [FOLDER ...] --base_url URL --model NAME [--protocols NAME ...]\n"
        "       python evaluate.py --check-judge --base_url URL --model NAME",
        description="Have a chat model rate the free answers of finished evaluations; it is checked first on texts of "
        "known trait level. Figures are added to results.json and records.jsonl of each folder.",
    )
    parser.add_argument("--judge", nargs="+", metavar="FOLDER", help="folders of finished evaluations")
    parser.add_argument("--check-judge", action="store_true", help="check the judge and judge nothing")
    parser.add_argument(
        "--protocols",
        nargs="+",
        default=[_CHECKED_BY],
        metavar="NAME",
        help="what is judged, and in which words: names of judging/protocols, or YAML files like those",
    )
    parser.add_argument(
        "--repeats", type=int | None, help="how often each item is judged (default: as in the protocol)"
    )
    parser.add_argument("--check", type=bool, default=True, help="whether the judge is checked before it judges")
    parser.add_argument("--out", default=FOLDER, metavar="FOLDER", help="where checks and kept answers go")
    parser.add_argument("--config", action="config", help="a YAML file with any of the options")
    parser.add_class_arguments(EndpointOptions, nested_key=None, as_group=True)
    return parser
