"""The repository keeps the house rules, and each rule notices what it forbids."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture import LONGEST_FILE, RANKS, RULES, Source, arrows, sizes, undeclared

REPOSITORY = Path(__file__).resolve().parents[1]
NOT_OURS = {"runs", "build", "dist"}
MODULES_OF = {"scikit-learn": "sklearn", "python-calamine": "python_calamine", "pyyaml": "yaml"}


def _folders() -> list[Path]:
    return [
        path
        for path in sorted(REPOSITORY.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path.name not in NOT_OURS
    ]


def _sources() -> list[Source]:
    paths = sorted(REPOSITORY.glob("*.py"))
    paths += [path for folder in _folders() for path in sorted(folder.rglob("*.py"))]
    return [Source(PurePosixPath(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")) for path in paths]


def _modules(requirements: list[str]) -> set[str]:
    named = [re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements]
    return {MODULES_OF.get(name, name.replace("-", "_")) for name in named}


def _dependencies() -> tuple[set[str], set[str]]:
    """Modules that the base install brings, and those that the extras for users bring."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirements for name, requirements in project["optional-dependencies"].items() if name != "dev"]
    return _modules(project["dependencies"]), _modules([one for requirements in extras for one in requirements])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_repository_keeps(rule):
    found = [violation for source in _sources() for violation in rule(source)]
    assert not found, "\n" + "\n".join(found)


def test_repository_imports_only_declared_libraries():
    base, optional = _dependencies()
    found = [violation for source in _sources() for violation in undeclared(source, base, optional)]
    assert not found, "\n" + "\n".join(found)


def test_every_package_has_an_init_file():
    folders = {path.parent for folder in _folders() for path in folder.rglob("*.py")}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_files_looked_at_are_all_there_are():
    packages = {source.package for source in _sources()}
    assert {"files", "lm", "tests"} <= packages
    assert packages <= RANKS.keys()


DOCUMENTED = '"""Module."""\n'


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("lm/a.py", "from metrics.drawdown import Drawdown", "upward import of 'metrics'"),
        ("lm/a.py", "from personas.traits import TRAITS", "sideways import of 'personas'"),
        ("losses/a.py", "def f() -> None:\n    import organism.topics", "upward import of 'organism'"),
        ("files/a.py", "import importlib\nimportlib.import_module('lm.chat')", "upward import of 'lm'"),
        ("callbacks/a.py", "import train", "upward import of 'train'"),
        ("evaluate.py", "import train", "sideways import of 'train'"),
        ("benchmarks/a.py", "import tests.models", "upward import of 'tests'"),
        ("novel/a.py", "", "has no rank"),
        ("lm/a.py", "\n" * (LONGEST_FILE + 1), "301 lines"),
        ("tests/a.py", "\n" * (LONGEST_FILE + 1), "301 lines"),
        ("lm/a.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
        ("lm/utils.py", "", "name it after what it does"),
        ("lm/helpers/a.py", "", "name it after what it does"),
        ("lm/__init__.py", "# nothing", "must be empty"),
        ("lm/a.py", "x = 1", "no module docstring"),
        ("lm/a.py", "def f() -> None:\n    pass", "f has no docstring"),
        ("lm/a.py", 'class A:\n    """A."""\n    def f(self) -> None:\n        pass', "f has no docstring"),
        ("lm/a.py", 'def f():\n    """F."""', "f has no return annotation"),
        ("lm/a.py", 'class A:\n    """A."""\n    def __init__(self):\n        pass', "__init__ has no return"),
        ("lm/a.py", "x = eval('1')", "call of eval"),
        ("lm/a.py", "exec('x = 1')", "call of exec"),
        ("lm/a.py", "import pickle", "import of 'pickle'"),
        ("lm/a.py", "def f():\n    from pickle import loads", "import of 'pickle'"),
        ("lm/a.py", "torch.load(p, weights_only=False)", "weights_only=False"),
        ("lm/a.py", "torch.load(p)", "without weights_only=True"),
        ("lm/a.py", "load(p, trust_remote_code=True)", "trust_remote_code=True"),
        ("lm/a.py", "x = 1  # TODO later", "unfinished work"),
        ("lm/a.py", "assert x", "assert"),
        ("lm/a.py", "raise NotImplementedError", "NotImplementedError"),
    ],
)
def test_rules_notice(path, text, message):
    source = Source(PurePosixPath(path), text)
    assert message in "\n".join(violation for rule in RULES for violation in rule(source))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metrics/a.py", DOCUMENTED + "from lm.chat import Chat\nfrom metrics.bootstrap import interval"),
        ("tests/a.py", "import pickle\nassert train\nfrom benchmarks import mend"),
        ("lm/a.py", DOCUMENTED + "model.eval()\ntorch.load(p, weights_only=True)"),
        ("lm/a.py", DOCUMENTED + "def _f():\n    pass\nclass _A:\n    def f(self): ..."),
        ("lm/__init__.py", ""),
    ],
)
def test_rules_let_pass(path, text):
    source = Source(PurePosixPath(path), text)
    assert not [violation for rule in RULES for violation in rule(source)]


def test_a_long_docstring_is_not_a_long_function():
    text = 'def f():\n    """F.\n' + "\n" * 100 + '    """\n    return 1\n'
    assert not list(sizes(Source(PurePosixPath("lm/a.py"), text)))


def test_a_relative_import_stays_inside_its_package():
    assert not list(arrows(Source(PurePosixPath("lm/a.py"), "from . import chat\nfrom .chat import Chat")))


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("import torch\nimport json\nfrom lm import chat", []),
        ("import pandas", ["'pandas' comes with an extra"]),
        ("def f():\n    import pandas", []),
        ("def f():\n    import trl", ["'trl' is not a dependency"]),
    ],
)
def test_libraries_outside_the_base_install_are_noticed(text, messages):
    found = list(undeclared(Source(PurePosixPath("metrics/a.py"), text), {"torch"}, {"pandas"}))
    assert len(found) == len(messages)
    assert all(message in violation for message, violation in zip(messages, found, strict=True))
