"""A process that prepares batches does not outlive a training that is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import REPOSITORY

# One item is larger than a pipe holds, so that the worker waits in the middle of sending it.
TRAINING = """
import os, time
import numpy as np
from torch.utils.data import DataLoader, Dataset
from datamodules.workers import begin_worker

class Large(Dataset):
    def __len__(self): return 50
    def __getitem__(self, number):
        print(os.getpid(), flush=True)
        return np.zeros(2_000_000, dtype=np.int8)

options = {"batch_size": None, "collate_fn": lambda item: item, "num_workers": 1, "worker_init_fn": begin_worker}
loader = iter(DataLoader(Large(), **options))
time.sleep(60)
"""


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for it")
def test_a_worker_ends_with_the_training_that_started_it():
    started = subprocess.Popen([sys.executable, "-c", TRAINING], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with started as training:
        worker = int(training.stdout.readline())
        time.sleep(0.5)
        assert worker != training.pid and alive(worker)
        training.send_signal(signal.SIGKILL)
    until = time.monotonic() + 4
    while alive(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(worker)
