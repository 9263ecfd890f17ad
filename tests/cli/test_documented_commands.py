"""What README.md and docs/ tell a reader to type is there, and its options are accepted.

With COMMANDS=full (`make docs-commands`) the commands in the heads of settings files are looked at too, and
`test_documented_runs.py` runs the shown ones.
"""

from __future__ import annotations

import importlib
import os
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

import annotate_cli
import judge_cli
from deployment import chat_command, export_command
from eval_cli import EvalCLI
from eval_series import find_setting, parsed_sweep
from evaluate import JUDGING, OWN, taken_out
from files.errors import InputError
from persona_cli import PersonaCLI
from tests.documented import PAGES, REPOSITORY, commands, fenced, head_commands, settings_files
from tests.documented_plan import HELP

COMMANDS = commands()
SETTINGS = [str(file.relative_to(REPOSITORY)) for file in settings_files()]
in_full = pytest.mark.skipif(os.environ.get("COMMANDS") != "full", reason="minutes: make docs-commands runs it")
SHOWN = {word for words in COMMANDS.values() for word in words}
EXAMPLES = [(page, code) for page in PAGES for code in fenced(page, "python")]
_TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
_EXTRAS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]


class Parsed(Exception):  # noqa: N818 - not an error: the settings are whole, and nothing has been loaded yet
    """Ends a command line behind its parser."""


class ParsedFit(PersonaCLI):
    def before_instantiate_classes(self):
        raise Parsed


class ParsedEvaluation(EvalCLI):
    sweep: str | None = None

    def before_instantiate_classes(self):
        if self.sweep is not None:
            find_setting(self.settings(), parsed_sweep(self.sweep)[0])
        raise Parsed


def check_train(options: list[str]) -> None:
    with pytest.raises(Parsed):
        ParsedFit(options)


def check_evaluate(options: list[str]) -> None:
    if any(option in JUDGING for option in options):
        judge_cli._parser().parse_args(options)
        return
    if "--compare" in options:
        assert set(options) & {"--compare", "--out"} and len(options) > 1
        return
    given, rest = taken_out(options, OWN)

    class Swept(ParsedEvaluation):
        sweep = given.get("--sweep")

    assert all(value.isdigit() for value in given.get("--seeds", "0").split(","))
    with pytest.raises(Parsed):
        Swept(rest)


def check_annotate(options: list[str]) -> None:
    annotate_cli._parser().parse_args(options)


def check_export(options: list[str]) -> None:
    export_command._parser().parse_args(options)


def check_chat(options: list[str]) -> None:
    chat_command._parser().parse_args(options)


CHECKS = {
    "train.py": check_train,
    "evaluate.py": check_evaluate,
    "annotate.py": check_annotate,
    "export.py": check_export,
    "chat.py": check_chat,
}


def check_module(name: str, options: list[str]) -> None:
    """A program below a package: its own parser knows the options."""
    module = importlib.import_module(name)
    known = set(re.findall(r"--\w+", Path(str(module.__file__)).read_text(encoding="utf-8")))
    assert {option for option in options if option.startswith("--")} <= known
    assert all(Path(REPOSITORY, word).is_file() for word in options if word.startswith("configs/"))


def check(words: list[str]) -> None:
    program, *rest = words
    if program == "make":
        assert {word for word in rest if "=" not in word} <= _TARGETS
    elif program == "pip":
        extras = [extra for part in re.findall(r"\[(.*?)\]", " ".join(rest)) for extra in part.split(",")]
        assert set(extras) <= set(_EXTRAS)
    elif program == "python" and rest[0] == "-m":
        check_module(rest[1], rest[2:])
    elif program == "python" and HELP & set(rest):
        assert rest[0] in CHECKS
    elif program == "python" and any(word.startswith("-") for word in rest):
        CHECKS[rest[0]](rest[1:])
    elif program == "python":  # named in a sentence, or a command of annotate.py without options
        assert rest[0] in CHECKS
        assert rest[1:] in ([], ["fit"]) or rest[1] in annotate_cli.COMMANDS
    else:
        assert program in ("sbatch", "source", "tensorboard")
    if program in ("sbatch", "source"):
        assert all(Path(REPOSITORY, word).is_file() for word in rest if word.startswith("configs/"))


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_is_accepted_as_it_is_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    check(COMMANDS[text])


@pytest.mark.parametrize("file", [file for file in SETTINGS if file not in SHOWN])
def test_a_settings_file_that_no_page_shows_is_accepted_by_its_program(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    evaluates = "evaluation.EvalModule" in Path(file).read_text(encoding="utf-8")
    check(["python", "evaluate.py", "--config", file] if evaluates else ["python", "train.py", "fit", "--config", file])


@in_full
@pytest.mark.parametrize("file", SETTINGS)
def test_the_head_of_a_settings_file_shows_commands_that_are_accepted(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    for words in head_commands(REPOSITORY / file):
        check(words)


@pytest.mark.parametrize(
    "wrong",
    [
        ["make", "no-such-target"],
        ["pip", "install", "oceantune[nothing]"],
        ["python", "train.py", "fit", "--config", "configs/mend/quickstart.yaml", "--model.init_args.lair", "3"],
        ["python", "train.py", "fit", "--config", "configs/mend/no-such.yaml"],
        ["python", "evaluate.py", "--config", "configs/eval/trait/none.yaml", "--sweep", "no_such_key=1,2"],
        ["python", "annotate.py", "ask", "--who", "me"],
        ["python", "export.py", "runs/sft", "--into", "x"],
        ["python", "-m", "benchmarks.fit", "--file", "x"],
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_a_command_that_is_not_there_would_be_noticed(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises((AssertionError, SystemExit, InputError)):
        check(wrong)


def test_pages_show_commands_of_every_program_and_every_method() -> None:
    assert set(CHECKS) <= SHOWN
    methods = {path.parent.name for path in REPOSITORY.glob("configs/*/quickstart.yaml")} - {"organism", "classifier"}
    trained = {Path(word).parts[1] for word in SHOWN if word.startswith("configs/") and word.endswith(".yaml")}
    assert methods <= trained


def test_every_page_is_in_the_contents_and_every_package_in_the_reference() -> None:
    contents = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(REPOSITORY / "docs")) for page in PAGES if page.parent != REPOSITORY]
    assert not [page for page in pages if page not in contents]
    shipped = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert shipped == {Path(page).stem for page in pages if page.startswith("reference/")} - {"index"}


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=[f"{page.name}-{k}" for k, (page, _) in enumerate(EXAMPLES)])
def test_python_that_is_shown_imports_what_there_is(page: Path, code: str) -> None:
    for module, names in re.findall(r"^from (\S+) import ([^#\n]+)", code, flags=re.MULTILINE):
        assert all(hasattr(importlib.import_module(module), name.strip()) for name in names.split(","))


def test_three_lines_of_python_answer_as_a_persona(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {code for _, code in EXAMPLES if "Speaker.load" in code and "speaker.generate" not in code}
    assert len(shown) == 1  # the README's is that of the pages
    file = tmp_path / "shown.py"
    file.write_text(shown.pop())
    monkeypatch.chdir(REPOSITORY)
    left: dict[str, Any] = runpy.run_path(str(file))
    answer = capsys.readouterr().out
    question = re.findall(r'generate\("(.*?)"\)', file.read_text())[0]
    plain = left["speaker"].generate(question)
    assert len(answer) > 20 and answer.strip() != str(plain)
    assert left["speaker"].steered("extraversion+", strength=0).generate(question) == plain
