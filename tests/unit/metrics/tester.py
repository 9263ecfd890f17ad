"""One tester for every metric: against a reference, in parts and as a whole, in every precision, on two processes."""

import copy
import os
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torchmetrics import Metric

Batch = Mapping[str, Any]
Reference = Callable[[Sequence[Batch]], Mapping[str, float]]
MakeMetric = Callable[[], Metric]


def check_metric(make: MakeMetric, batches: Sequence[Batch], reference: Reference, *, rtol: float = 1e-5) -> None:
    """Compare a metric with a reference overall, per batch, split and merged, after pickling and cloning.

    Args:
        make: Creates the metric.
        batches: At least two updates, each as keyword arguments.
        reference: The expected figures of all records of some batches, computed in another way.
        rtol: Tolerance, absolute too.
    """
    whole, halves = make(), (make(), make())
    for number, batch in enumerate(batches):
        agree(whole(**batch), reference([batch]), rtol)
        halves[number % 2].update(**batch)
    expected = reference(batches)
    agree(whole.compute(), expected, rtol)
    halves[0].merge_state(halves[1])
    agree(halves[0].compute(), expected, rtol)

    pickled = pickle.loads(pickle.dumps(whole))  # noqa: S301
    for copied in (pickled, whole.clone(), copy.deepcopy(whole)):
        agree(copied.compute(), expected, rtol)
        copied.update(**batches[0])
        agree(copied.compute(), reference([*batches, batches[0]]), rtol)
    agree(whole.compute(), expected, rtol)
    assert not whole.state_dict()
    whole.reset()
    whole.update(**batches[0])
    agree(whole.compute(), reference(batches[:1]), rtol)


def check_precision(make: MakeMetric, batches: Sequence[Batch], reference: Reference, *, rtol: float = 1e-5) -> None:
    """Half-precision inputs give the value that the same numbers give in float32, not merely some tensor."""
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        metric, rounded = make(), [_cast(batch, dtype) for batch in batches]
        for batch in rounded:
            metric.update(**batch)
        agree(metric.compute(), reference([_cast(batch, torch.float32) for batch in rounded]), rtol)


def check_two_processes(
    make: MakeMetric, batches: Sequence[Batch], read: Callable[[Any], Mapping[str, Any]], folder: Path
) -> None:
    """On two processes that share out the batches, `read` gives each of them what one process gives for all.

    The batches of the first process come first, so that the order of records is the same too.
    """
    alone, results = make(), [folder / f"rank{rank}.pt" for rank in range(2)]
    for batch in batches:
        alone.update(**batch)
    mp.start_processes(_work, (make, batches, read, folder / "meeting", results), nprocs=2, start_method="fork")
    for file in results:
        agree(torch.load(file, weights_only=True), read(alone), 1e-6)


def agree(got: Mapping[str, Any], want: Mapping[str, Any], rtol: float) -> None:
    """Every wanted figure is there and close; nan agrees with nan."""
    for name, value in want.items():
        torch.testing.assert_close(
            torch.as_tensor(got[name]).double(), torch.as_tensor(value).double(), rtol=rtol, atol=rtol, equal_nan=True,
            msg=f"{name}: expected {value}, got {got[name]}",
        )  # fmt: skip


def _cast(batch: Batch, dtype: torch.dtype) -> Batch:
    return {k: v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in batch.items()}


def _work(rank: int, make: MakeMetric, batches: Sequence[Batch], read: Callable[[Any], Mapping[str, Any]],
          meeting: Path, results: Sequence[Path]) -> None:  # fmt: skip
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    warnings.simplefilter("ignore")  # torchmetrics warns of a process that got no batch
    metric = make()
    share = len(batches) // 2
    for batch in batches[:share] if rank == 0 else batches[share:]:
        metric.update(**batch)
    torch.save({name: torch.as_tensor(value) for name, value in read(metric).items()}, results[rank])
    dist.destroy_process_group()
