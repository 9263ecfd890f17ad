"""Two processes do what one does: trainings end with the same weights and figures, evaluations with the same rows."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest
import torch
from transformers import AutoModelForCausalLM

import export
from files.errors import InputError
from lightning_modules.checkpoint_file import plain_checkpoint
from tests.cli import process_runs
from tests.cli.process_runs import CUT, METHODS, STRATEGIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*something other than an option"),
]
# Sums are taken in another order.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_lm_dir):
    """The folder of all runs, of one process (`<method>-one`) and of two (`<method>-<strategy>`)."""
    folder = tmp_path_factory.mktemp("processes")
    process_runs.write_data(folder)
    with contextlib.chdir(process_runs.REPOSITORY):
        stop = "--trainer.callbacks+=tests.cli.process_runs.StopBehind"
        with pytest.raises(KeyboardInterrupt):
            process_runs.train("sft", folder, tiny_lm_dir, 1, "one", folder / "half", stop)
        with two_processes(folder, tiny_lm_dir):
            for name in METHODS:
                process_runs.train(name, folder, tiny_lm_dir, 1, "one", folder / f"{name}-one")
            process_runs.evaluate(folder, tiny_lm_dir, 1, folder / "trait-one")
    return folder


@contextlib.contextmanager
def two_processes(folder, lm_dir, program="tests.cli.process_runs", *more, limit=500):
    """Two processes that find each other as torchrun's do run beside the block; both must end well after it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", program, str(folder), str(lm_dir), *more]
    logs, pair = [folder / f"process-{rank}.log" for rank in range(2)], []
    try:
        for rank, log in enumerate(logs):
            numbers = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            with log.open("w") as written:
                pair.append(
                    subprocess.Popen(
                        command,
                        cwd=process_runs.REPOSITORY,
                        env={**os.environ, **shared, **numbers},
                        stdout=written,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield
        until = time.monotonic() + limit
        # One that has failed leaves the other waiting for it.
        while None in (codes := [process.poll() for process in pair]) and not any(codes) and time.monotonic() < until:
            time.sleep(0.1)
        assert codes == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)
    finally:
        for process in pair:
            process.kill()
            process.wait()


def checkpoint(root):
    return torch.load(root / "checkpoints" / "last.ckpt", weights_only=True)


def metrics(root):
    return json.loads((root / "metrics.json").read_text())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_end_as_one(runs, name, strategy):
    one, two = checkpoint(runs / f"{name}-one"), checkpoint(runs / f"{name}-{strategy}")
    assert one["state_dict"].keys() == two["state_dict"].keys() and one["global_step"] == two["global_step"]
    for key, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][key], value, **CLOSE, msg=lambda text, key=key: f"{key}: {text}")
    wanted, found = metrics(runs / f"{name}-one"), metrics(runs / f"{name}-{strategy}")
    assert wanted.keys() == found.keys()
    for key in (key for key in wanted if key.startswith("val/")):
        assert found[key] == pytest.approx(wanted[key], rel=1e-3, abs=1e-4), key


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_of_one_process_goes_on_in_two(runs, strategy):
    half, whole = checkpoint(runs / "half"), checkpoint(runs / "sft-one")
    switched = checkpoint(runs / f"switched-{strategy}")
    assert half["global_step"] == CUT < switched["global_step"] == whole["global_step"]
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(switched["state_dict"][key], value, **CLOSE)
        assert not torch.equal(half["state_dict"][key], value)


def test_two_processes_give_the_same_rows(runs):
    one, two = (json.loads((runs / f"trait-{kind}" / "results.json").read_text()) for kind in ("one", "ddp"))
    for rows in (one, two):
        for row in rows:
            row.pop("seconds"), row.pop("peak_memory_mb")
    check_same(two, one)
    files = [(runs / f"trait-{kind}" / "records.jsonl").read_text().splitlines() for kind in ("one", "ddp")]
    assert all(len(set(lines)) == len(lines) > 1 for lines in files)
    one, two = ([json.loads(line) for line in lines] for lines in files)
    check_same(two, one)


def check_same(found, wanted, place=""):
    """The same up to the last digits of numbers, which depend on what shares a batch."""
    assert type(found) is type(wanted), place
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), place
        for key, value in wanted.items():
            check_same(found[key], value, f"{place}/{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), place
        for number, value in enumerate(wanted):
            check_same(found[number], value, f"{place}/{number}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6, nan_ok=True), place
    else:
        assert found == wanted, place


def test_steering_is_the_same_where_weights_are_shared_out(runs):
    moved = json.loads((runs / "steering.json").read_text())
    assert moved and max(moved.values()) < 1e-5, moved


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plain_model_comes_out_of_every_strategy(runs, strategy, tmp_path):
    export.main([str(runs / f"sft-{strategy}"), "--out", str(tmp_path / "plain")])
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    trained = checkpoint(runs / f"sft-{strategy}")["state_dict"]
    state = plain.state_dict()
    assert all(torch.equal(state[name.removeprefix("lm.")], value) for name, value in trained.items())
    # What the recipe's SavePretrained has left, in 16 bits.
    state = AutoModelForCausalLM.from_pretrained(runs / f"sft-{strategy}" / "model").state_dict()
    assert all(torch.equal(state[name.removeprefix("lm.")], value.half()) for name, value in trained.items())


def test_a_folder_of_shares_needs_the_plain_file_beside_it(tmp_path):
    shares = tmp_path / "checkpoints" / "last.ckpt"
    shares.mkdir(parents=True)
    with pytest.raises(InputError, match="WholeWeights"):
        plain_checkpoint(shares)
    whole = shares.parent / "weights.ckpt"
    whole.write_bytes(b"")
    assert plain_checkpoint(shares) == whole and plain_checkpoint(whole) == whole
