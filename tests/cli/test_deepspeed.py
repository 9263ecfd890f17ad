"""ZeRO-2 and ZeRO-3 on two CPU processes, where DeepSpeed is installed, end with the weights of one process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli import process_runs
from tests.cli.test_processes import CLOSE, two_processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None,
        reason='DeepSpeed is not installed (pip install "oceantune[deepspeed]"); its optimiser is compiled',
    ),
]


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("stage", [2, 3])
def test_the_weights_are_those_of_one_process(tmp_path, tiny_lm_dir, stage, method):
    process_runs.write_data(tmp_path)
    with two_processes(tmp_path, tiny_lm_dir, "tests.cli.deepspeed_run", str(stage), method, limit=800):
        one = subprocess.run(
            [sys.executable, "-m", "tests.cli.deepspeed_run", str(tmp_path), str(tiny_lm_dir), "0", method],
            cwd=process_runs.REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert one.returncode == 0, one.stderr[-3000:]
    alone, shared = (weights(tmp_path / f"{method}-{kind}") for kind in ("stage0", f"stage{stage}"))
    assert alone.keys() == shared.keys()
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, **CLOSE)


def weights(root: Path):
    return torch.load(root / "checkpoints" / "weights.ckpt", weights_only=True)["state_dict"]
