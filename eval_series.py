"""One evaluation many times: over the values of one setting (`--sweep`) or over seeds (`--seeds`)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import yaml

from files.atomic import atomic_write_text, write_json
from files.errors import InputError
from files.trainer_settings import LARGEST_SEED
from files.whole_numbers import whole_number
from metrics.result_rows import RESULTS, ResultRow, read_results
from report.leaderboard import write_leaderboard
from report.sweep_figure import write_sweep
from report.sweep_steps import step_rows

SETTINGS = "settings.yaml"
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
ROOT_KEY, SEED_KEY = ("trainer", "default_root_dir"), ("seed_everything",)
Place = tuple[str | int, ...]


class Evaluation(Protocol):
    """One evaluation, built and not yet run.

    Attributes:
        folder_given: Whether the user has named that folder.
    """

    folder_given: bool

    @property
    def root(self) -> Path:
        """Where its results go."""

    def settings(self) -> dict[str, Any]:
        """The resolved settings."""

    def is_done(self) -> bool:
        """Whether its results are there already."""

    def run(self) -> None:
        """Evaluate."""


Build = Callable[[list[str]], Evaluation]


def run_sweep(build: Build, arguments: Sequence[str], sweep: str) -> Path:
    """Evaluate once for every value of a setting; what is done already is not done again.

    Args:
        build: Makes an evaluation of a command line.
        arguments: The command line without the sweep.
        sweep: `<dotted.key>=a,b,c`.

    Returns:
        The folder of the results: a folder for each value, and of all together `results.json`, in which each figure
        carries the key and the value, with its step from the value before, `sweep.md` and `sweep.png`.

    Raises:
        InputError: The sweep is no key with values, or there is no such setting.
    """
    key, values = parsed_sweep(sweep)
    first = build(list(arguments))
    settings = first.settings()
    path = find_setting(settings, key)
    name = str(path[-1])
    root = first.root if first.folder_given else first.root.with_name(f"{first.root.name}-{name}")
    points: list[tuple[Any, list[ResultRow]]] = []
    for value in values:
        folder = root / re.sub(r"[^\w.+=-]", "_", f"{name}={value}")
        points.append((value, _done(build, settings, {path: value}, folder)))
    rows = [_renamed(row, f"{row.metric}/{name}={value}") for value, found in points for row in found if row.plain]
    write_json(root / RESULTS, [*rows, *step_rows(name, points)])
    write_sweep(root, name, points)
    return root


def run_seeds(build: Build, arguments: Sequence[str], seeds: str) -> Path:
    """Evaluate once for every seed, that of the data and of each method, and write the means over seeds.

    Args:
        build: Makes an evaluation of a command line.
        arguments: The command line without the seeds.
        seeds: `0,1,2`.

    Returns:
        The folder of the results: a folder for each seed, and of all together `results.json` and a leaderboard. The
        interval of a mean is over seeds (Student's t), that of a single seed over records.

    Raises:
        InputError: A seed is no whole number, or stands there twice.
    """
    numbers = parsed_seeds(seeds)
    first = build(list(arguments))
    settings = first.settings()
    root = first.root if first.folder_given else first.root.with_name(f"{first.root.name}-seeds")
    drawn_by = [SEED_KEY, *(place for place in _leaves(settings) if _is_seed_of_a_method(place))]
    runs = [_done(build, settings, dict.fromkeys(drawn_by, seed), root / f"seed-{seed}") for seed in numbers]
    write_json(root / RESULTS, [_mean(rows) for rows in _matched(runs)])
    write_leaderboard([row for rows in runs for row in rows], root, f"Seeds {', '.join(map(str, numbers))}")
    return root


def parsed_sweep(text: str) -> tuple[str, list[Any]]:
    """Key and values of a sweep.

    Raises:
        InputError: It is something else, or names a value twice.

    Example:
        >>> parsed_sweep("model.init_args.temperature=0,0.5,1")
        ('model.init_args.temperature', [0, 0.5, 1])
    """
    key, equals, given = text.partition("=")
    try:
        values = [yaml.safe_load(part) for part in given.split(",")] if given else []
    except (yaml.YAMLError, ValueError):  # a number of thousands of digits is none to Python
        values = []
    if not key.strip() or not equals or not values or len(set(map(repr, values))) < len(values):
        raise InputError(
            "is no sweep",
            field="--sweep",
            expected="a setting and different values of it, such as model.init_args.temperature=0,0.5,1",
            got=text,
            fix="correct it",
        )
    return key.strip().removeprefix("--"), values


def parsed_seeds(text: str) -> list[int]:
    """Different whole numbers, separated by commas.

    Raises:
        InputError: It is something else.

    Example:
        >>> parsed_seeds("0,1,2")
        [0, 1, 2]
    """
    seeds = [whole_number(part.strip()) for part in text.split(",")]
    known = [seed for seed in seeds if seed is not None and seed <= LARGEST_SEED]
    if len(set(known)) < len(seeds):
        raise InputError(
            "are no seeds",
            field="--seeds",
            expected=f"different whole numbers up to {LARGEST_SEED}, such as 0,1,2",
            got=text,
            fix="correct it",
        )
    return known


def find_setting(settings: Mapping[str, Any], key: str) -> Place:
    """The place of a setting by its dotted key; the end of a key will do where only one setting ends like that.

    Args:
        settings: Resolved settings.
        key: Such as `model.init_args.temperature`; places in a list are counted from 0 or left out.

    Raises:
        InputError: There is no such setting, or several; similar ones are named.

    Example:
        >>> find_setting({"trainer": {"callbacks": [{"init_args": {"count": 4}}]}}, "count")
        ('trainer', 'callbacks', 0, 'init_args', 'count')
    """
    places = {place: _dotted(place) for place in _leaves(settings)}
    wanted = f".{key}"
    for fits in (
        lambda place: wanted == f".{places[place]}",
        lambda place: wanted == f".{_dotted(place, numbers=False)}",
        lambda place: f".{places[place]}".endswith(wanted),
        lambda place: f".{_dotted(place, numbers=False)}".endswith(wanted),
    ):
        found = [place for place in places if fits(place)]
        if len(found) == 1:
            return found[0]
        if found:
            raise _bad_key("names several settings", key, [places[place] for place in found])
    near = difflib.get_close_matches(key, places.values(), n=3, cutoff=0.4)
    last = key.rpartition(".")[2]
    near += [name for name in places.values() if name.rpartition(".")[2] == last and name not in near][:3]
    raise _bad_key("is no setting of this evaluation", key, near)


def _bad_key(problem: str, key: str, near: Sequence[str]) -> InputError:
    return InputError(
        problem,
        field="--sweep",
        expected=f"the dotted key of one setting{', such as ' + ', '.join(near) if near else ''}",
        got=key,
        fix="see `python evaluate.py --config FILE --print_config` for all settings",
    )


def _leaves(settings: Any, place: Place = ()) -> Iterator[Place]:
    """Places of all settings that are no groups of settings."""
    if isinstance(settings, Mapping):
        inner: Sequence[tuple[str | int, Any]] = [(str(name), value) for name, value in settings.items()]
    elif isinstance(settings, list):
        inner = list(enumerate(settings))
    else:
        inner = []
    if place and not inner:
        yield place
    for name, value in inner:
        yield from _leaves(value, (*place, name))


def _is_seed_of_a_method(place: Place) -> bool:
    """Whether a method of the trainer's callbacks or of the baselines draws by it, such as descriptions or examples."""
    return place[0] in ("trainer", "baselines") and place[-2:] == ("init_args", "seed")


def _dotted(place: Place, numbers: bool = True) -> str:
    return ".".join(str(part) for part in place if numbers or isinstance(part, str))


def _done(build: Build, settings: Mapping[str, Any], changes: Mapping[Place, Any], folder: Path) -> list[ResultRow]:
    """The results of an evaluation with some settings changed, run unless they are there."""
    changed: Any = deepcopy(dict(settings))
    for place, value in {**changes, ROOT_KEY: str(folder)}.items():
        inner = changed
        for part in place[:-1]:
            inner = inner[part]
        inner[place[-1]] = value
    file = folder / SETTINGS
    atomic_write_text(file, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))
    evaluation = build(["--config", str(file)])
    if not evaluation.is_done():
        evaluation.run()
    return read_results(folder / RESULTS)


def _renamed(row: ResultRow, metric: str) -> dict[str, Any]:
    return {**row.raw, "metric": metric}


def _matched(runs: Sequence[Sequence[ResultRow]]) -> list[list[ResultRow]]:
    """The rows of one figure in every run that has it."""
    found: dict[tuple[str, str, str], list[ResultRow]] = {}
    for rows in runs:
        for row in rows:
            found.setdefault((row.method, row.persona, row.metric), []).append(row)
    return list(found.values())


def _mean(rows: Sequence[ResultRow]) -> dict[str, Any]:
    """The mean of one figure over seeds, as a row of a results file."""
    values = [row.value for row in rows if row.value is not None]
    bases = [row.base_value for row in rows if row.base_value is not None]
    mean = math.fsum(values) / len(values) if values else None
    low, high = (rows[0].ci_low, rows[0].ci_high) if len(rows) == 1 else _interval(values, mean)
    return {
        **rows[0].raw,
        "value": mean,
        "ci_low": low,
        "ci_high": high,
        "base_value": math.fsum(bases) / len(bases) if bases else None,
        "seed": rows[0].seed if len(rows) == 1 else None,
        "seconds": math.fsum(row.seconds or 0.0 for row in rows),
        "peak_memory_mb": max((row.peak_memory_mb or 0.0 for row in rows), default=None),
    }


def _interval(values: Sequence[float], mean: float | None) -> tuple[float | None, float | None]:
    """Student's 95 % interval of a mean of few values."""
    if mean is None or len(values) < 2:
        return None, None
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    width = _student(len(values) - 1) * spread
    return mean - width, mean + width


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's distribution: from a table where values are few, from its expansion where not.

    Example:
        >>> _student(2), round(_student(30), 3)
        (4.303, 2.042)
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
