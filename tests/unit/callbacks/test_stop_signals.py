"""A run that a scheduler stops leaves a checkpoint and goes on from it bit for bit."""

import os
import signal

import pytest
import torch
from lightning.pytorch import Callback

from callbacks.stop_signals import StopSignals, requeue
from tests.unit.lightning_modules.chats import run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
STEPS = 2


class Send(Callback):
    """Sends this process a signal in the middle of a batch."""

    def __init__(self, number):
        self.number = number

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == STEPS:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tiny_lm_dir, tmp_path, number, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    before = signal.getsignal(number)
    straight = run(tiny_lm_dir, tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run(tiny_lm_dir, tmp_path, StopSignals(), Send(number))
    assert stopped.value.code == 128 + number and signal.getsignal(number) == before
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert STEPS <= torch.load(last, weights_only=True)["global_step"] < 4
    resumed = run(tiny_lm_dir, tmp_path, StopSignals(), ckpt_path=last)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """A `scontrol` that writes down what it is told."""
    program, told = tmp_path / "bin" / "scontrol", tmp_path / "told"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {told}\n[ "$2" != 13 ] || {{ echo no such job >&2; exit 1; }}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return told


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_job_goes_back_into_the_queue_where_the_scheduler_does_not_see_to_it(
    tiny_lm_dir, tmp_path, scheduler, monkeypatch, number, wanted
):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(SystemExit):
        run(tiny_lm_dir, tmp_path, StopSignals(), Send(number))
    assert scheduler.exists() == wanted
    assert not wanted or scheduler.read_text() == "requeue 12\n"


def test_what_goes_wrong_with_the_queue_is_said(scheduler, caplog, monkeypatch):
    requeue("13")
    assert "no such job" in caplog.text
    monkeypatch.setenv("PATH", "")
    requeue("12")
    assert "scontrol is not on the path" in caplog.text
