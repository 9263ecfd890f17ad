"""How likely answers were before training: what is worked out once is kept on disk and found again by its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from transformers import PreTrainedModel

from files.atomic import atomic_write_bytes
from files.provenance import data_hash
from lightning_modules.shards import gathered
from lm.passes import evaluating
from lm.preferences import EncodedPair, PreferenceBatch
from lm.target_log_probs import row_sums, target_log_probs
from losses.dpo import PairLogProbs

FOLDER = "reference"


@runtime_checkable
class PairData(Protocol):
    """What is asked of a data module whose pairs are to be worked out beforehand.

    Attributes:
        pairs: The encoded pairs of each part.
    """

    pairs: dict[str, list[EncodedPair]]

    def collate(self, pairs: Sequence[EncodedPair]) -> PreferenceBatch:
        """A batch of pairs."""

    def data_files(self) -> list[Path]:
        """The files the pairs come from."""

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the pairs depend on."""


class KeptLogProbs:
    """Reference log-probabilities of all pairs of a data set.

    Args:
        chosen: Of the preferred answers, by the pairs' numbers (N,).
        rejected: Of the others (N,).
    """

    def __init__(self, chosen: Tensor, rejected: Tensor) -> None:
        self.chosen = chosen
        self.rejected = rejected

    def of(self, numbers: Tensor, like: PairLogProbs) -> PairLogProbs:
        """Those of a batch.

        Args:
            numbers: The pairs' numbers (B,).
            like: The policy's, whose answers are as long.
        """
        places, device = numbers.cpu(), like.chosen.device
        return PairLogProbs(
            self.chosen[places].to(device),
            self.rejected[places].to(device),
            like.chosen_tokens,
            like.rejected_tokens,
        )


def pair_log_probs(lm: PreTrainedModel, batch: PreferenceBatch) -> PairLogProbs:
    """How likely a model finds both answers of each pair."""
    values = target_log_probs(lm, batch.input_ids, batch.target_mask)
    targets = batch.target_mask[:, 1:]
    chosen, rejected = row_sums(values, targets).chunk(2)
    chosen_tokens, rejected_tokens = targets.sum(1).chunk(2)
    return PairLogProbs(chosen, rejected, chosen_tokens, rejected_tokens)


def adapters_off(lm: PreTrainedModel) -> AbstractContextManager[object]:
    """The model without its adapter inside the block."""
    return cast(Any, lm).disable_adapter() if hasattr(lm, "disable_adapter") else nullcontext()


def kept_log_probs(
    folder: Path,
    key: dict[str, Any],
    data: PairData,
    reference: Callable[[], PreTrainedModel],
    context: Callable[[], AbstractContextManager[object]],
    *,
    batch_size: int,
    share: tuple[int, int] = (0, 1),
) -> KeptLogProbs:
    """Read the reference log-probabilities of a data set, or work them out and keep them.

    Args:
        folder: Where they are kept, a file per key.
        key: What they depend on beside the data.
        data: The pairs.
        reference: The model they are worked out with; called only where they are not kept yet.
        context: What it computes in: its precision, and no adapter.
        batch_size: Pairs per forward pass.
        share: Number of this process, and of all.

    Returns:
        Those of all pairs of all parts.
    """
    digest = {**key, "data": data_hash(data.data_files()), "settings": data.settings()}
    name = hashlib.sha256(json.dumps(digest, sort_keys=True, default=str).encode()).hexdigest()[:20]
    file = folder / f"{name}.safetensors"
    pairs = [pair for part in data.pairs.values() for pair in part]
    kept = _read(file, len(pairs))
    if kept is not None:
        return kept
    rank, world = share
    # Pairs of like length together, so that little is padding.
    mine = sorted(pairs[rank::world], key=lambda pair: (len(pair.chosen) + len(pair.rejected), pair.number))
    found = gathered(_worked_out(reference(), mine, data, context, batch_size, quiet=rank > 0))
    chosen, rejected = torch.empty(len(pairs)), torch.empty(len(pairs))
    for number, of_chosen, of_rejected in found:
        chosen[number], rejected[number] = of_chosen, of_rejected
    if rank == 0:
        atomic_write_bytes(file, save_tensors({"chosen": chosen, "rejected": rejected}))
    return KeptLogProbs(chosen, rejected)


def _worked_out(
    lm: PreTrainedModel,
    pairs: Sequence[EncodedPair],
    data: PairData,
    context: Callable[[], AbstractContextManager[object]],
    batch_size: int,
    quiet: bool,
) -> list[tuple[int, float, float]]:
    """Number and both log-probabilities of each pair."""
    found: list[tuple[int, float, float]] = []
    starts = range(0, len(pairs), batch_size)
    shown = track(starts, "reference", console=Console(stderr=True), transient=True, disable=quiet)
    with evaluating(lm), context():
        for start in shown:
            batch = data.collate(pairs[start : start + batch_size]).to(lm.device)
            values = pair_log_probs(lm, batch)
            found += zip(batch.numbers.tolist(), values.chosen.tolist(), values.rejected.tolist(), strict=True)
    return found


def _read(file: Path, pairs: int) -> KeptLogProbs | None:
    """What is kept; None where it is missing or cannot be used, since it can be worked out again."""
    try:
        tensors = load_tensors(file.read_bytes())
        kept = KeptLogProbs(tensors["chosen"], tensors["rejected"])
    except (OSError, SafetensorError, KeyError):
        return None
    return kept if len(kept.chosen) == len(kept.rejected) == pairs else None
