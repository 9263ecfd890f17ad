"""A quickstart's training, killed at random moments and started again, ends with the same weights, bit for bit.

`make faults` (`FAULTS=full`) kills one quickstart five times as it is shipped, and each of them twenty times (KILLS)
with checkpoints ten times as often; the suite kills a short one twice.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
import yaml

from tests.faults.commands import files_in
from tests.faults.progress import steps_taken
from tests.faults.tally import FULL

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = "configs/mend/quickstart.yaml"
SEED = 20240229
KILLS = int(os.environ.get("KILLS", "20"))
# What must have been trained before, in the same place.
BEFORE = {"mend": (), "pas": (), "sae": (), "classifier": (), "sft": (), "dpo": ("sft",), "ppo": ("sft", "dpo")}
CHARACTERS = ("sft", "dpo", "ppo")
# Where a start must do everything again, fewer people are learnt, in as many batches.
FEWER = {"pas": ("--data.init_args.people", "10", "--data.init_args.batch_size", "2")}
OFTEN = 10


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
    *("--model.init_args.transform.rank", "16"),
    *("--trainer.limit_val_batches", "1", "--trainer.val_check_interval", "6"),
)


def form():
    if not FULL:
        return Form(2, 9, SHORT)
    shipped = yaml.safe_load((REPOSITORY / RECIPE).read_text(encoding="utf-8"))
    return Form(min(KILLS, 5), shipped["trainer"]["max_steps"])


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
    """The last checkpoints of both hold the same."""
    first, second = (torch.load(root / "checkpoints" / "last.ckpt", weights_only=True) for root in (straight, killed))
    assert first["global_step"] == second["global_step"] == steps
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(second[part], first[part], part)


@dataclass(frozen=True)
class Moment:
    """When to kill a start of a run.

    Attributes:
        step: After how many steps at the earliest (see `Progress`).
        kind: While it loads, in a step, or while a checkpoint is half written.
        share: Of the time that loading, or a step, takes.
    """

    step: int
    kind: Literal["loading", "step", "writing"]
    share: float


@dataclass(frozen=True)
class Lasted:
    """How long a run took.

    Attributes:
        loading: Seconds until its first step.
        step: Mean seconds from one step on.
        last: The number of the last step, counted from 0.
    """

    loading: float
    step: float
    last: int


def moments_of(last, count, draw, often):
    """Random moments of a run, in order: each start goes on where the one before was killed.

    A sixth of them fall while it loads, a sixth while a checkpoint is written, and one while the last one is; where
    only that one is written, those fall in a step.
    """
    few = max(1, count // 6)
    kinds = ["loading"] * few + ["writing" if often else "step"] * few + ["step"] * (count - 2 * few - 1)
    drawn = [Moment(draw.randrange(last), kind, draw.random()) for kind in kinds]
    return [*sorted(drawn, key=lambda moment: moment.step), Moment(last, "writing", 0)]


def callbacks_of(recipe, progress):
    """The callbacks of a recipe, with checkpoints more often, so that twenty starts do not do most steps again."""
    settings = yaml.safe_load((REPOSITORY / "configs" / recipe / "quickstart.yaml").read_text(encoding="utf-8"))
    callbacks = settings["trainer"]["callbacks"]
    for callback in callbacks:
        if "every_n_train_steps" in callback.get("init_args", {}):
            callback["init_args"]["every_n_train_steps"] //= OFTEN
    shown = {"file": str(progress), "unit": "batches" if recipe in FEWER else "steps"}
    return json.dumps([*callbacks, {"class_path": "tests.faults.progress.Progress", "init_args": shown}])


def whole_run(recipe, root, place, progress):
    """A quickstart in a folder whose `runs` hold what was made before."""
    config = REPOSITORY / "configs" / recipe / "quickstart.yaml"
    given = ("fit", "--config", config, "--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false")
    more = (*FEWER.get(recipe, ()), "--trainer.accelerator", "cpu", "--trainer.callbacks")
    progress.unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, REPOSITORY / "train.py", *given, *more, callbacks_of(recipe, progress)],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def straight_run(recipe, place):
    """The folder of a run that nobody touches, and how long it took; made once, after those that it needs."""
    if recipe in CHARACTERS and not (place / "runs" / "annotation").is_dir():
        subprocess.run([sys.executable, REPOSITORY / "annotate.py", "quickstart"], cwd=place, check=True)
    for earlier in BEFORE[recipe]:
        straight_run(earlier, place)
    root, note, progress = place / "runs" / recipe, place / f"{recipe}.json", place / "straight.progress"
    if not note.is_file():
        begun = time.monotonic()
        running = whole_run(recipe, root, place, progress)
        while running.poll() is None and not progress.is_file():
            time.sleep(0.05)
        loading = time.monotonic() - begun
        ended(running)
        last = steps_taken(progress)
        note.write_text(json.dumps(asdict(Lasted(loading, (time.monotonic() - begun - loading) / (last + 1), last))))
    return root, Lasted(**json.loads(note.read_text()))


def killed_in(moment, running, progress, folder, lasted):
    """Kill a start; its exit code and what it said."""

    def wait(going_on, seconds=float("inf")):
        until = time.monotonic() + seconds
        while running.poll() is None and time.monotonic() < until and going_on():
            time.sleep(0.001)

    if moment.kind == "loading":
        wait(lambda: steps_taken(progress) < 0, moment.share * lasted.loading)
    else:
        wait(lambda: steps_taken(progress) < moment.step)
        reached = steps_taken(progress)
        if moment.kind == "step":
            wait(lambda: steps_taken(progress) <= reached, moment.share * lasted.step)
        else:
            wait(lambda: not any(folder.glob(".*.tmp")))
    running.send_signal(signal.SIGKILL)
    _, said = running.communicate()
    return running.returncode, said


def written(root):
    """What a run has left beside its checkpoints, its log and its settings, which name the folder."""
    return {name for name in files_in(root) if name.split("/")[0] not in ("checkpoints", "tensorboard", "config.yaml")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where quickstarts are trained: a folder with what recipes name, as it stands in the repository."""
    folder = tmp_path_factory.mktemp("quickstarts")
    for name in ("assets", "configs"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


@pytest.mark.skipif(not FULL, reason="a quickstart takes minutes; the suite kills a short one")
@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("recipe", BEFORE)
def test_every_killed_quickstart_ends_with_the_same_weights(recipe, place, tally):
    tally.of(f"kills of fit {recipe}")
    (straight, lasted), killed = straight_run(recipe, place), place / f"{recipe}-killed"
    progress, note = place / "killed.progress", killed / "run.json"
    for moment in moments_of(lasted.last, KILLS, random.Random(SEED), often=recipe not in FEWER):
        running = whole_run(recipe, killed, place, progress)
        code, said = killed_in(moment, running, progress, killed / "checkpoints", lasted)
        assert code in (0, -signal.SIGKILL), f"{moment}: {said}"
        if code == 0:  # only the last checkpoint can be written too fast to be caught at it
            break
        tally.put_in()
        assert not note.is_file() or json.loads(note.read_text()) == {"finished": False}
    else:
        ended(whole_run(recipe, killed, place, progress))
    assert tally.tried >= 0.9 * KILLS
    first, second = (json.loads((root / "run.json").read_text()) for root in (straight, killed))
    assert first == second and first["finished"]
    assert_same_training(straight, killed, first["steps"])
    for name in written(straight):
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), name
    assert written(killed) == written(straight)
    tally.stood(tally.tried)
