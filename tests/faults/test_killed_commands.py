"""Evaluations, sweeps and annotation, killed at random moments and started again, end with the same results.

`make faults` (`FAULTS=full`) kills the quickstarts twenty times each (KILLS); the suite kills small ones once.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest

import annotate
import evaluate
from tests.conftest import REPOSITORY
from tests.editing import write_edit_data
from tests.faults.commands import ended, files_in
from tests.faults.killing import killed, lines_below, started
from tests.faults.tally import FULL
from tests.faults.test_edit_data import evaluation
from tests.faults.test_machine import results

KILLS = int(os.environ.get("KILLS", "20")) if FULL else 1
SEED = 20240301
pytestmark = [pytest.mark.slow, pytest.mark.timeout(24 * 3600 if FULL else 180), pytest.mark.filterwarnings("ignore")]
QUICKSTART = (
    "--config",
    REPOSITORY / "configs/eval/personality_edit/ike.yaml",
    "--trainer.enable_progress_bar",
    "false",
)


def small(lm_dir, folder, root, *more):
    data = write_edit_data(folder / "data", 6)
    return evaluation(lm_dir, data, root, "--data.init_args.batch_size", "1", *more)


def command(lm_dir, folder, root, *more):
    """The evaluation that is killed: a small one, or one of the built-in model as shipped."""
    if FULL:
        return [*QUICKSTART, "--trainer.default_root_dir", root, *more]
    return small(lm_dir, folder, root, *more)


def progress(root):
    """How far an evaluation or a sweep has come: results that are there, and lines of the one under way."""
    return len(list(root.glob("*/results.json"))), lines_below(root)


def watched(arguments, root):
    """Run a command that nobody touches; its seconds until the first line, and the lines of each part of it."""
    running, begun, loading, lines = started(evaluate.main, arguments), time.monotonic(), None, {}
    while running.is_alive():
        part, count = progress(root)
        lines[part] = max(lines.get(part, 0), count)
        loading = time.monotonic() - begun if loading is None and count else loading
        time.sleep(0.01)
    assert running.exitcode == 0
    return loading, {part: count for part, count in lines.items() if count}


def moments(arguments, straight, draw):
    """When to kill, in order, so that each start goes on where the one before was killed; a sixth while it loads."""
    loading, lines = watched(arguments, straight)
    parts = sorted(lines)
    drawn = sorted((part, draw.randrange(lines[part])) for part in draw.choices(parts, k=KILLS))
    early = set(draw.sample(range(KILLS), KILLS // 6))
    return [(loading * draw.random() if number in early else None, at) for number, at in enumerate(drawn)]


def resumed_after_kills(arguments, root, straight, tally, capsys):
    """Kill, go on, and compare with a run that nobody touched."""
    draw = Random(SEED)
    if FULL:
        chosen = moments(arguments(straight), straight, draw)
    else:
        assert ended(evaluate.main, arguments(straight), capsys).code == 0
        chosen = [(None, (0, 3))] * KILLS
    for late, at in chosen:
        start = time.monotonic()
        while_running = killed(
            evaluate.main,
            arguments(root),
            lambda late=late, at=at, start=start: (
                progress(root) >= at or (late is not None and time.monotonic() - start > late)
            ),
            draw.uniform(0, 0.02),
        )
        if while_running:
            tally.put_in()
    assert ended(evaluate.main, arguments(root), capsys).code == 0
    assert results(root) == results(straight)
    # One that had ended before it could be killed is not counted.
    assert tally.tried >= 0.9 * KILLS
    tally.stood(tally.tried)


def test_a_killed_evaluation_ends_with_the_same_results(tiny_lm_dir, tmp_path, tally, capsys):
    straight, root = tmp_path / "straight", tmp_path / "killed"
    tally.of("kills of evaluate")
    resumed_after_kills(lambda at: command(tiny_lm_dir, tmp_path, at), root, straight, tally, capsys)
    assert (root / "records.jsonl").read_bytes() == (straight / "records.jsonl").read_bytes()


def test_a_killed_sweep_ends_with_the_same_results(tiny_lm_dir, tmp_path, tally, capsys):
    straight, root = tmp_path / "straight", tmp_path / "killed"
    swept = ("--sweep", "max_new_tokens=1,2")
    tally.of("kills of a sweep")
    resumed_after_kills(lambda at: command(tiny_lm_dir, tmp_path, at, *swept), root, straight, tally, capsys)


@pytest.mark.skipif(not FULL, reason="the quickstart's data take a minute; test_annotation.py kills a short step")
def test_a_killed_annotation_ends_with_the_same_data(tmp_path, monkeypatch, tally, capsys):
    draw = Random(SEED)
    tally.of("kills of annotate")
    monkeypatch.chdir(tmp_path)
    begun = time.monotonic()
    assert ended(annotate.main, ["quickstart", "--out", "straight"], capsys).code == 0
    lasted = time.monotonic() - begun
    for _ in range(KILLS):
        # The first run also loads what the later ones, copies of this process, have loaded.
        late, start = 0.5 * lasted * draw.random(), time.monotonic()
        arguments = ["quickstart", "--out", "killed"]
        if killed(annotate.main, arguments, lambda late=late, start=start: time.monotonic() - start > late):
            tally.put_in()
    assert ended(annotate.main, ["quickstart", "--out", "killed"], capsys).code == 0
    names = {name for name in files_in(Path("straight")) if not name.endswith("sqlite")}
    assert names <= files_in(Path("killed"))
    for name in sorted(names):
        assert Path("killed", name).read_bytes() == Path("straight", name).read_bytes(), name
    assert tally.tried >= 0.9 * KILLS
    tally.stood(tally.tried)
