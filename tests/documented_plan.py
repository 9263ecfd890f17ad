"""What a documented command reads and which commands make it, how it is shortened, and which ones cannot be run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.documented import REPOSITORY, commands

Words = tuple[str, ...]
HELP = {"--help", "--options", "--model.help", "--data.help"}
STEPS = 20
_BUILT_IN = "assets/"
# Options whose values are written to, not read.
_WRITTEN = {"--out", "--trainer.default_root_dir"}
_MODELS = {"--model.init_args.lm.name", "--classifier.name"}
_NOT_OURS = {
    "make": "its target is there, and what it does is run by tests of its own",
    "pip": "it would change what is installed",
    "sbatch": "there is no SLURM",
    "source": "it belongs to the shell",
    "tensorboard": "it serves until it is stopped",
}
_SMALL = {
    "pas": {"data.init_args.people": "2"},  # one step for ten people, and no gradient
    "ppo": {
        "data.init_args.batch_size": "4",
        "model.init_args.ppo.minibatch": "4",
        "model.init_args.rollouts.max_new_tokens": "8",
    },
}
"""Options that leave a step of a training little to do, by method."""
_FEW = {
    "PersonalityBenchDataModule": {"data.init_args.questions": "1"},
    "TraitDataModule": {"data.init_args.limit": "1"},
    "PapiDataModule": {"data.init_args.people": "2"},
    "EditDataModule": {"data.init_args.limit": "2"},
    "PersonaDialogueDataModule": {"data.init_args.tests": "[robustness]"},
}
"""Options that leave an evaluation little to ask, by data module."""
_FEW_SAMPLES = {"NPTI": "limit", "RepE": "samples"}
"""The option of a method that says how many texts it learns from."""


def left_parsed(words: Words) -> str | None:
    """Why a command is not run here, if so."""
    if words[0] != "python":
        return _NOT_OURS[words[0]]
    if "benchmarks.harness" in words:
        return "its tasks come from the hub"
    if words == ("python", "train.py", "fit"):
        return "a sentence names it, and its options stand elsewhere"
    if words[2:3] == ("benchmarks.fit",):
        return None  # it loads no model
    named = [words[place + 1] for place, word in enumerate(words) if word in _MODELS]
    named += [settings["model"]["init_args"]["lm"]["name"] for settings in _settings(words)]
    missing = [name for name in named if not name.startswith(_BUILT_IN)]
    return f"{missing[0]} comes from the hub" if missing else None


def needs(words: Words) -> Iterator[Words]:
    """The commands that make what a command reads, in order; most of them are shown on the same page."""
    if HELP & set(words) or "benchmarks.fit" in words:
        return
    if words[1] == "annotate.py":
        yield from _earlier_steps(words)
    if words[1] == "evaluate.py" and words[-2:] == ("--compare", "runs"):
        yield _evaluation("persona_dialogue", "none")
    for path in _read(words):
        if path.startswith("runs/annotation"):
            yield ("python", "annotate.py", "quickstart")
        elif "*" in path:
            yield from (_evaluation("persona_dialogue", method) for method in ("none", "sft"))
        else:
            yield from _makers(path)


def shortened(words: Words) -> list[str]:
    """Options that end a command soon."""
    if HELP & set(words):
        return []
    if words[1:3] == ("train.py", "fit"):
        options = {"trainer.max_steps": str(STEPS), "trainer.limit_val_batches": "1"}
        method = Path(next(word for word in words if word.startswith("configs/"))).parent.name
        options |= _SMALL.get(method, {})
    elif words[1] == "evaluate.py" and "--config" in words:
        options = _few_questions(next(_settings(words)))
        if "configs/cluster/ddp.yaml" in words:
            options |= {"trainer.accelerator": "cpu", "trainer.devices": "1"}
    else:
        options = {}
    return [part for key, value in options.items() if f"--{key}" not in words for part in (f"--{key}", value)]


def _few_questions(settings: dict[str, Any]) -> dict[str, str]:
    options = dict(_FEW[settings["data"]["class_path"].rpartition(".")[2]])
    if "max_new_tokens" in settings["model"]["init_args"]:
        options |= {"model.init_args.max_new_tokens": "8"}
    if "side_effects" in settings:
        options |= {"side_effects.records": "2"}
    methods = [one["class_path"].rpartition(".")[2] for one in settings["trainer"].get("callbacks", [])]
    if methods and methods[-1] in _FEW_SAMPLES:
        options |= {f"trainer.callbacks.init_args.{_FEW_SAMPLES[methods[-1]]}": "8"}
    return options


def _settings(words: Words) -> Iterator[dict[str, Any]]:
    """The settings files that a command names; what is merged in from configs/cluster names no model."""
    for word in words:
        if word.startswith("configs/") and word.endswith(".yaml") and not word.startswith("configs/cluster/"):
            yield yaml.safe_load((REPOSITORY / word).read_text(encoding="utf-8"))


def _read(words: Words) -> Iterator[str]:
    """Paths below `runs` that a command reads, by its words and by its settings files."""
    for before, word in zip(words, words[1:], strict=False):
        if word.startswith("runs/") and before not in _WRITTEN:
            yield word
        elif word == "CHECKPOINT":
            yield "runs/quickstart/checkpoints/last.ckpt"
    for settings in _settings(words):
        if "trained_by" in settings:
            yield _root(settings["trained_by"])
        settings["trainer"].pop("default_root_dir", None)
        yield from sorted(_below_runs(settings))


def _below_runs(value: Any) -> set[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {path for one in value for path in _below_runs(one)}
    return {value} if isinstance(value, str) and value.startswith("runs/") else set()


def _makers(path: str) -> Iterator[Words]:
    """What makes a file or folder below `runs`: a training, an evaluation, or a shown command that writes it."""
    folder = "/".join(Path(path).parts[:2])
    evaluated = re.fullmatch(r"runs/(\w+)-(\w+)", folder)
    if folder in _trainings():
        yield ("python", "train.py", "fit", "--config", _trainings()[folder])
    elif evaluated and (REPOSITORY / "configs/eval" / evaluated[1] / f"{evaluated[2]}.yaml").is_file():
        yield _evaluation(evaluated[1], evaluated[2])
    else:
        shown = [tuple(words) for words in commands().values()]
        yield next(words for words in shown if words[-2:] == ("--out", path))


def _evaluation(benchmark: str, method: str) -> Words:
    return ("python", "evaluate.py", "--config", f"configs/eval/{benchmark}/{method}.yaml")


@cache
def _trainings() -> dict[str, str]:
    """The built-in model's trainings by the folder that they write to."""
    files = [str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("configs/*/*.yaml")]
    return {_root(file): file for file in files if file.endswith("/quickstart.yaml")}


def _root(file: str) -> str:
    settings = yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8"))
    return str(settings.get("trainer", {}).get("default_root_dir"))


def _earlier_steps(words: Words) -> list[Words]:
    """The steps of an annotation that are shown before this one, in the same folder."""
    if words[2] in ("quickstart", "chat", "personality"):
        return []
    if "--out" not in words:
        return [("python", "annotate.py", "quickstart")]
    folder = words[words.index("--out") + 1]
    steps = [tuple(one) for one in commands().values() if one[1] == "annotate.py" and folder in one]
    return steps[: steps.index(words)]


def written(words: Sequence[str]) -> str | None:
    """The name of a file that a command leaves behind."""
    if HELP & set(words):
        return None
    if words[1] == "evaluate.py":
        named = {"--compare": "report.html", "--check-judge": "check-*.json"}
        return next((name for option, name in named.items() if option in words), "results.json")
    if words[1] == "annotate.py":
        return None if words[2] == "chat" else "*.json*"
    return {"train.py": "last.ckpt", "export.py": "README.md"}.get(words[1])
