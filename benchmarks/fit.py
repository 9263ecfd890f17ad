"""Says before anything is loaded whether a recipe fits: `python -m benchmarks.fit --recipe FILE`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fit_formula import Need
from benchmarks.fit_recipe import Assumed, needed
from files.errors import InputError, exit_on_input_error
from files.yaml_files import read_yaml

GB = 1e9
# Interpreter and libraries; on a GPU its context and the libraries' working space.
_BESIDE = {"cpu": 0.6, "gpu": 1.2}
# What is lost to blocks that no longer fit together, by experience.
_SPARE = 1.05
_MOST = 10_000_000


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print what a recipe needs, part by part, and whether it fits; exit code 1 where it does not.

    Args:
        arguments: The command line; that of the process where it is left out.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit", description=__doc__)
    parser.add_argument("--recipe", action="append", required=True, help="a settings file; several are merged")
    parser.add_argument(
        "--memory_gb", type=float, default=None, help="memory there is; asked of the machine if left out"
    )
    parser.add_argument("--prompt_tokens", type=int, default=256, help="longest prompt, where the data do not bound it")
    parser.add_argument("--processes", type=int, default=1, help="processes that trained weights are shared out over")
    options = parser.parse_args(arguments)
    for name in ("prompt_tokens", "processes"):
        if not 1 <= getattr(options, name) <= _MOST:
            raise InputError(
                "is out of range",
                field=f"--{name}",
                expected=f"1 to {_MOST}",
                got=getattr(options, name),
                fix="correct it",
            )
    if options.memory_gb is not None and not 0 < options.memory_gb < math.inf:
        raise InputError(
            "is no memory",
            field="--memory_gb",
            expected="gigabytes, more than 0",
            got=options.memory_gb,
            fix="correct it",
        )
    settings = merged_settings(options.recipe)
    processes = options.processes if shares_weights(settings) else 1
    need = needed(settings, Assumed(options.prompt_tokens, processes))
    kind, there = device_memory()
    there = options.memory_gb * GB if options.memory_gb is not None else there
    total = need.total * _SPARE + _BESIDE[kind] * GB
    sys.stdout.write(report(need, total, there, kind))
    if total > there:
        sys.stderr.write(
            f"warning: this does not fit: {total / GB:.1f} GB are needed and {there / GB:.1f} GB are there\n"
        )
        raise SystemExit(1)


def merged_settings(files: Sequence[str]) -> dict[str, Any]:
    """Settings files merged as the command line does, later ones winning.

    Args:
        files: YAML files.

    Raises:
        InputError: One is missing or no settings file.
    """
    merged: dict[str, Any] = {}
    for file in files:
        content = read_yaml(file, field="--recipe")
        if not isinstance(content, dict):
            raise InputError("is no settings file", file=file, field="--recipe", expected="a YAML file of options")
        merged = _laid_over(merged, content)
    return merged


def shares_weights(settings: Mapping[str, Any]) -> bool:
    """Whether processes share trained weights out: not under DDP, nor under ZeRO-2, which leaves each the whole.

    ZeRO-2 does share the optimizer's state, so that what is said of it is too much.

    Args:
        settings: A recipe, merged with the file of a cluster; one that names no strategy leaves it open.

    >>> shares_weights({"trainer": {"strategy": "ddp"}}), shares_weights({})
    (False, True)
    """
    strategy = (settings.get("trainer") or {}).get("strategy") or ""
    named, options = (strategy, {}) if isinstance(strategy, str) else (strategy.get("class_path"), strategy)
    stage = (options.get("init_args") or {}).get("stage", 3)
    return "ddp" not in str(named).lower() and stage == 3


def device_memory() -> tuple[str, float]:
    """What computes, `gpu` or `cpu`, and the bytes that are free on it."""
    import torch

    if torch.cuda.is_available():
        return "gpu", float(torch.cuda.mem_get_info()[0])
    status = Path("/proc/meminfo")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return "cpu", float(lines["MemAvailable"].split()[0]) * 1024
    return "cpu", float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def report(need: Need, total: float, there: float, kind: str) -> str:
    """The parts as lines, the largest first.

    Args:
        need: The parts.
        total: Bytes of all, with what stands beside them.
        there: Bytes that there are.
        kind: What computes.
    """
    largest = max(need.passing, key=lambda name: need.passing[name], default=None)
    rows = [(name, size, "") for name, size in need.parts.items()]
    rows += [(name, size, "" if name == largest else " (not at the same time)") for name, size in need.passing.items()]
    lines = [f"{name:28}{size / GB:10.2f} GB{note}" for name, size, note in sorted(rows, key=lambda row: -row[1])]
    lines.append(f"{'libraries and spare':28}{(total - need.total) / GB:10.2f} GB")
    lines.append(f"{'all':28}{total / GB:10.2f} GB of {there / GB:.2f} GB that are free on this {kind}")
    return "\n".join(lines) + "\n"


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of one file over those of another, key by key.

    >>> _laid_over({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


if __name__ == "__main__":
    main()
