"""How far interventions move the residual stream, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interventions.applied import Intervention, applied
from interventions.places import Places
from interventions.recorded import recorded
from interventions.reductions import AllTokens
from lm.chat import TokenBatch
from lm.passes import ForwardRows, evaluating


class LaidOut(Protocol):
    """An intervention with a row per record."""

    def for_pass(self, rows: ForwardRows) -> Intervention:
        """The same for a pass whose row r belongs to record `rows.keys[r]`."""


def residual_movement(
    model: PreTrainedModel, places: Places, texts: TokenBatch, records: Tensor, interventions: Mapping[str, LaidOut]
) -> dict[str, Tensor]:
    """How much each intervention changes the output of every block, where answers are made.

    Args:
        model: The model.
        places: Its blocks.
        texts: Prompts with given answers; counted are the last token of each prompt and those of its answer.
        records: The record that each text belongs to (B,).
        interventions: By name; each alone.

    Returns:
        For each the mean over tokens of the length of the change over the length of what is changed (L,), in float32.
    """
    known = ForwardRows(records, texts.attention_mask, texts.answer_mask)
    counted = texts.answer_mask | texts.answer_mask.roll(-1, 1) & texts.attention_mask.bool()
    base = _blocks(model, places, texts, known, counted, None)
    moved: dict[str, Tensor] = {}
    for name, intervention in interventions.items():
        changed = _blocks(model, places, texts, known, counted, intervention.for_pass(known))
        lengths = [
            ((after - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-12)).mean()
            for before, after in zip(base, changed, strict=True)
        ]
        moved[name] = torch.stack([length.cpu() for length in lengths])
    return moved


def _blocks(
    model: PreTrainedModel,
    places: Places,
    texts: TokenBatch,
    known: ForwardRows,
    counted: Tensor,
    intervention: Intervention | None,
) -> list[Tensor]:
    """Outputs of all blocks at the counted tokens, each (N, D)."""
    sites = [places.block(layer) for layer in places.layers]
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        if intervention is not None:
            stack.enter_context(applied(model, intervention))
        recording = stack.enter_context(recorded(model, sites, AllTokens(), known=known))
        recording.count(counted)
        model(
            input_ids=texts.input_ids,
            attention_mask=texts.attention_mask,
            position_ids=texts.position_ids(),
            use_cache=False,
            logits_to_keep=1,
        )
    return [torch.cat(recording[site]).float() for site in sites]
