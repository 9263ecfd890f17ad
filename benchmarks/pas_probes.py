"""Probes of attention heads for several people: the batched fit against scikit-learn, head by head.

`measure()` gives part of the figures of `benchmarks/pas.json`; `python -m benchmarks.pas_probes` prints them alone:

- `probe_speedup`: time of scikit-learn at its default tolerance over ours, for all heads of all people (the median of
  several fits of ours, which are spread before and after its single one)
- `probe_max_abs_diff`: largest difference of a decision value from scikit-learn's at tolerance 1e-10, over the samples
  fitted and those held back
- `same_heads`: share of the best heads of each person, by accuracy on the samples held back, that are the same by those
  decision values
- `probe_memory_ratio`: ours over scikit-learn's peak of resident memory above features and labels, each in a process of
  its own; scikit-learn's for one of the people, since it goes through them one by one and keeps weights alone

Samples are shared by all people, labels differ. The features are made like the outputs of attention heads: correlated
inside a head, small, around an offset, with a trace of every person in some heads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.memory import give_memory_back, peak_above
from interventions.probes import Probes, best_heads, fit_probes, held_back

REPEATS = 5
TIGHT = 1e-10


@dataclass(frozen=True)
class Size:
    """Extent of the problem; the one of the published models by default.

    Attributes:
        layers: Layers of the model.
        heads: Heads of a layer.
        width: Width of a head.
        samples: Samples that probes are fitted on.
        held: Samples held back.
        people: People, each with labels of their own.
        best: Heads chosen for each person.
    """

    layers: int = 32
    heads: int = 32
    width: int = 128
    samples: int = 200
    held: int = 50
    people: int = 8
    best: int = 24


@dataclass(frozen=True)
class Samples:
    """Features (N, G, D) and labels (P, N); the last `held` samples are not fitted."""

    features: Tensor
    labels: Tensor
    held: int
    best: int

    @property
    def fitted(self) -> Tensor:
        """Features that are fitted."""
        return self.features[: -self.held]

    @property
    def used(self) -> Tensor:
        """Which samples are fitted (P, N)."""
        return (torch.arange(self.labels.shape[1]) < self.labels.shape[1] - self.held).expand_as(self.labels)


def make_samples(size: Size) -> Samples:
    """Features and labels that depend on the size alone."""
    generator = torch.Generator().manual_seed(0)
    count, groups = size.samples + size.held, size.layers * size.heads
    labels = (torch.rand(size.people, count, generator=generator) < 0.5).long()
    labels[:, :2] = torch.tensor([0, 1])
    spectrum = torch.logspace(0, -2, size.width)
    features = torch.empty(count, groups, size.width)
    for group in range(groups):
        mix = torch.randn(size.width, size.width, generator=generator) * spectrum
        rows = torch.randn(count, size.width, generator=generator) @ mix.T
        for person in range(size.people):
            trace = torch.rand(1, generator=generator) * torch.randn(size.width, generator=generator)
            rows += labels[person].unsqueeze(1) * trace
        scale = 0.05 + 0.2 * torch.rand(1, generator=generator)
        features[:, group] = scale * (rows + 3 * torch.randn(size.width, generator=generator))
    return Samples(features, labels, size.held, size.best)


def ours(samples: Samples) -> Probes:
    """All probes at once."""
    return fit_probes(samples.fitted, samples.labels[:, : -samples.held])


def scikit_learn(samples: Samples, tolerance: float | None, shown: str = "") -> Probes:
    """The same one by one.

    Args:
        samples: The samples.
        tolerance: Its tolerance; None for the default.
        shown: Name on a progress bar; none where it is empty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    warnings.filterwarnings("ignore", category=ConvergenceWarning)  # defaults that end early are what is timed
    rows, labels = samples.fitted.numpy(), samples.labels[:, : -samples.held].numpy()
    weights = torch.empty(len(labels), *samples.features.shape[1:], dtype=torch.float64)
    intercepts = torch.empty(weights.shape[:2], dtype=torch.float64)
    persons = track(range(len(labels)), shown, console=Console(stderr=True)) if shown else range(len(labels))
    for person in persons:
        for group in range(weights.shape[1]):
            features = rows[:, group]
            if tolerance is None:
                model = LogisticRegression(C=1.0)
            else:
                # Single precision would end before such a tolerance, and so does the default solver, whose steps get
                # too small first; Newton's method reaches it in a few.
                features = features.astype("float64")
                model = LogisticRegression(C=1.0, tol=tolerance, max_iter=1_000, solver="newton-cholesky")
            model.fit(features, labels[person])
            weights[person, group] = torch.from_numpy(model.coef_[0])
            intercepts[person, group] = float(model.intercept_[0])
    return Probes(weights, intercepts)


def agreement(samples: Samples) -> dict[str, float]:
    """How far our probes are from those of scikit-learn at a tight tolerance."""
    exact = scikit_learn(samples, TIGHT, shown="scikit-learn, tight tolerance")
    values = exact.decide(samples.features)
    difference = (ours(samples).decide(samples.features) - values).abs().max()
    tried = held_back(samples.features, samples.labels, samples.used)
    right = (values > 0) == (samples.labels > 0).unsqueeze(1)
    theirs = best_heads(right[..., -samples.held :].double().mean(-1), samples.best)
    mine = best_heads(tried.accuracy, samples.best)
    same = [len({*a} & {*b}) / samples.best for a, b in zip(mine.tolist(), theirs.tolist(), strict=True)]
    return {"probe_max_abs_diff": float(difference), "same_heads": statistics.fmean(same)}


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_of(side: str, size: Size) -> float:
    """Peak memory of one side in mebibytes, measured in this process."""
    give_memory_back()
    ours(make_samples(Size(layers=1, heads=2, width=8, samples=20, held=4, best=1)))  # what libraries load at first use
    scikit_learn(make_samples(Size(layers=1, heads=2, width=8, samples=20, held=4, best=1)), None)
    samples = make_samples(size)
    if side == "ours":
        return peak_above(lambda: ours(samples))
    # One person is enough for the side that goes through them one by one.
    alone = replace(samples, labels=samples.labels[:1])
    return peak_above(lambda: scikit_learn(alone, None))


def measure(size: Size | None = None) -> dict[str, float]:
    """All figures of this part."""
    size = size or Size()
    samples = make_samples(size)
    ours(samples)
    times = [seconds(lambda: ours(samples)) for _ in range(REPEATS)]
    reference = seconds(lambda: scikit_learn(samples, None, shown="scikit-learn, default tolerance"))
    times += [seconds(lambda: ours(samples)) for _ in range(REPEATS)]
    figures = {
        "probe_speedup": reference / statistics.median(times),
        "probe_seconds_ours": statistics.median(times),
        "probe_seconds_reference": reference,
        **agreement(samples),
    }
    for side in ("ours", "reference"):
        command = [sys.executable, "-m", "benchmarks.pas_probes", "--peak-of", side]
        figures[f"probe_peak_mb_{side}"] = float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        )
    figures["probe_memory_ratio"] = figures["probe_peak_mb_ours"] / figures["probe_peak_mb_reference"]
    return figures


def main(arguments: list[str]) -> None:
    """Print the figures of this part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pas_probes", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "--peak-of", choices=("ours", "reference"), help="only measure this side's memory, and print it"
    )
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    if options.peak_of:
        console.print(json.dumps(peak_of(options.peak_of, Size())))
        return
    for name, value in measure().items():
        console.print(f"{name:>24} {value:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
