"""A quickstart's training, killed at random moments and started again, ends with the same weights, bit for bit.

`make faults` (`FAULTS=full`) kills every shipped quickstart twenty times (KILLS); the suite kills a short one twice.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from tests.faults.progress import steps_taken
from tests.faults.tally import FULL

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = "configs/mend/quickstart.yaml"
SEED = 20240229
KILLS = int(os.environ.get("KILLS", "20"))
# What must have been trained before, in the same place.
BEFORE = {"mend": (), "pas": (), "sae": (), "classifier": (), "sft": (), "dpo": ("sft",), "ppo": ("sft", "dpo")}


@dataclass(frozen=True)
class Form:
    """How often to kill which run.

    Attributes:
        kills: How often.
        steps: Length of the run in optimiser steps.
        options: What differs from the recipe.
    """

    kills: int
    steps: int
    options: tuple[str, ...] = ()


SAVING = {
    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
    "init_args": {"every_n_train_steps": 2, "save_last": True},
}
SHORT = (
    *("--trainer.max_steps", "9", "--trainer.callbacks", json.dumps([SAVING])),
    *("--data.init_args.batch_size", "2", "--trainer.accumulate_grad_batches", "2"),
    *(
        "--model.init_args.transform.rank",
        "16",
        "--trainer.limit_val_batches",
        "1",
        "--trainer.val_check_interval",
        "6",
    ),
)


def form():
    if not FULL:
        return Form(2, 9, SHORT)
    return Form(KILLS, yaml.safe_load((REPOSITORY / RECIPE).read_text(encoding="utf-8"))["trainer"]["max_steps"])


def command(root, progress, options):
    callback = ("--trainer.callbacks+=tests.faults.progress.Progress", "--trainer.callbacks.file", str(progress))
    return [
        *(sys.executable, "train.py", "fit", "--config", RECIPE, *options, "--trainer.default_root_dir", str(root)),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", *callback),
    ]


def started(root, progress, options):
    return subprocess.Popen(
        command(root, progress, options), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def killed_at(running, progress, step, delay):
    """Kill the run so many seconds after it has taken so many steps; its exit code and what it said."""
    while running.poll() is None and steps_taken(progress) < step:
        time.sleep(0.005)
    time.sleep(delay)
    running.send_signal(signal.SIGKILL)
    _, said = running.communicate()
    return running.returncode, said


def ended(running):
    _, said = running.communicate()
    assert running.returncode == 0, said


def assert_same(found, expected, place):
    """Equal to the last bit, through lists and dictionaries."""
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected), place
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_same(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), place
        for number, value in enumerate(expected):
            assert_same(found[number], value, f"{place}.{number}")
    else:
        assert found == expected, place


@pytest.mark.slow
@pytest.mark.timeout(24 * 3600 if FULL else 600)
def test_a_killed_quickstart_ends_with_the_same_editor(tmp_path, tally):
    chosen, draw = form(), random.Random(SEED)
    tally.of("kills of fit").put_in(chosen.kills)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    begun = time.monotonic()
    ended(started(straight, tmp_path / "straight.progress", chosen.options))
    of_a_step = (time.monotonic() - begun) / chosen.steps
    moments = sorted(draw.sample(range(chosen.steps - 2), chosen.kills))
    for step in moments:
        progress = tmp_path / f"{step}.progress"
        code, said = killed_at(
            started(killed, progress, chosen.options), progress, step, draw.uniform(0, min(of_a_step, 0.5))
        )
        assert code == -signal.SIGKILL, said
        assert json.loads((killed / "run.json").read_text()) == {"finished": False}
    ended(started(killed, tmp_path / "last.progress", chosen.options))
    assert json.loads((killed / "run.json").read_text()) == {"finished": True, "steps": chosen.steps}
    assert_same_training(straight, killed, chosen.steps)
    tally.stood(chosen.kills)


def assert_same_training(straight, killed, steps):
    """The last checkpoints of two runs hold the same."""
    first, second = (torch.load(root / "checkpoints" / "last.ckpt", weights_only=True) for root in (straight, killed))
    assert first["global_step"] == second["global_step"] == steps
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(second[part], first[part], part)


def whole_run(recipe, root, place):
    """The command of a quickstart as shipped, in a folder whose `runs` hold what was made before."""
    config = REPOSITORY / "configs" / recipe / "quickstart.yaml"
    given = ("fit", "--config", config, "--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false")
    return subprocess.Popen(
        [sys.executable, REPOSITORY / "train.py", *given],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where quickstarts are trained, with the data of the characters."""
    folder = tmp_path_factory.mktemp("quickstarts")
    subprocess.run([sys.executable, REPOSITORY / "annotate.py", "quickstart"], cwd=folder, check=True)
    return folder


@pytest.mark.skipif(not FULL, reason="a quickstart takes minutes; the suite kills a short one")
@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("recipe", [name for name in BEFORE if name != "mend"])
def test_every_killed_quickstart_ends_with_the_same_weights(recipe, place, tally):
    for earlier in BEFORE[recipe]:
        if not (place / "runs" / earlier / "run.json").is_file():
            ended(whole_run(earlier, f"runs/{earlier}", place))
    straight, killed, draw = place / f"{recipe}-straight", place / f"{recipe}-killed", random.Random(SEED)
    begun = time.monotonic()
    ended(whole_run(recipe, straight, place))
    lasted = time.monotonic() - begun
    tally.of(f"kills of fit {recipe}")
    for _ in range(KILLS):
        running = whole_run(recipe, killed, place)
        try:
            running.communicate(timeout=draw.uniform(0, lasted))
        except subprocess.TimeoutExpired:
            running.kill()
        running.communicate()
        assert running.returncode in (0, -signal.SIGKILL)
        tally.put_in()
    ended(whole_run(recipe, killed, place))
    steps = json.loads((straight / "run.json").read_text())["steps"]
    assert_same_training(straight, killed, steps)
    tally.stood(KILLS)
