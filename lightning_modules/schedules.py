"""Learning rates over a run whose length is known from the start."""

from __future__ import annotations

from math import cos, pi


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, final_share: float = 0.0) -> float:
    """Share of the peak learning rate at a step: a straight rise, then half a cosine down.

    Args:
        step: Optimizer steps taken so far.
        total_steps: Optimizer steps of the whole run.
        warmup_steps: Steps until the peak.
        final_share: Share of the peak that is left at the end.

    Returns:
        A factor from above 0 to 1; `final_share` from the last step on.

    >>> [round(warmup_cosine(step, 10, 2), 3) for step in (0, 1, 2, 6, 10, 99)]
    [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final_share + (1.0 - final_share) * 0.5 * (1.0 + cos(pi * progress))
