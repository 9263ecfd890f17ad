"""An edited model to talk to, and to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from editors.factors import CountedTokens, edit_factors
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork
from editors.measure import edit_shift
from interventions.applied import applied
from interventions.weights import LowRankEdit
from lm.chat import TokenBatch


@dataclass(frozen=True)
class EditHealth:
    """Whether an edit left the model in one piece.

    Attributes:
        name: What was edited.
        shift: Mean KL(base || edited) per token on the edit's own text.
        broken: Whether that is beyond the limit, or not a number.
    """

    name: str
    shift: float
    broken: bool


@dataclass(frozen=True)
class EditedModel:
    """A model under one or more edits; the model itself stays as it is.

    Attributes:
        model: The base model.
        edit: The edits.
        health: What is known about each edit.
    """

    model: PreTrainedModel
    edit: LowRankEdit
    health: list[EditHealth]

    def applied(self) -> AbstractContextManager[nn.Module]:
        """A block inside which the model answers as edited; with several edits, batch row e under edit e."""
        return applied(self.model, self.edit)

    def materialize(self, number: int = 0) -> PreTrainedModel:
        """A copy with plain edited weights, which `save_pretrained` writes and plain transformers loads.

        Args:
            number: Which of the edits.

        Raises:
            InputError: If an edited weight is stored quantised.
        """
        return self.edit.only(number).materialize(self.model)


@torch.inference_mode(False)
def make_edits(
    halves: ModelHalves,
    network: Hypernetwork,
    modules: Mapping[str, nn.Module],
    tokens: TokenBatch,
    names: Sequence[str],
    *,
    counted: CountedTokens,
    most_tokens: int,
    broken_above: float,
    on_top_of: LowRankEdit | None = None,
) -> EditedModel:
    """Edits made by a trained network, without gradients, and whether they leave the model in one piece.

    Args:
        halves: The model, cut at the first edited block.
        network: The trained network; its statistics stay as they are.
        modules: The layers whose weights are edited, by path.
        tokens: Texts of the edits, as many rows for each.
        names: What each edit is called, E of them.
        counted: Which tokens the edit's loss counts.
        most_tokens: Tokens that go through the upper layers at once.
        broken_above: Mean KL per token on an edit's own text above which it is called broken.
        on_top_of: Edits already made, one for each: the new ones are made on the edited model, and both are returned.

    Raises:
        UntrainedError: If the network was never trained.
    """
    # Tensors that came into being under inference mode cannot take part in a backward pass; their copies can.
    tokens = TokenBatch(tokens.input_ids.clone(), tokens.attention_mask.clone(), tokens.answer_mask.clone())
    edit_of_row = [row // (len(tokens) // len(names)) for row in range(len(tokens))]
    with applied(halves.model, *([] if on_top_of is None else [on_top_of.rows(edit_of_row)])):
        factors, _ = edit_factors(halves, tokens, len(names), modules, counted)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            made = network(factors)
    finally:
        network.train(was_training)
    if on_top_of is not None:
        made = on_top_of.detach().stack(made)
    shifts = edit_shift(halves, made, tokens, most_tokens).tolist()
    health = [EditHealth(name, shift, not shift <= broken_above) for name, shift in zip(names, shifts, strict=True)]
    return EditedModel(halves.model, made, health)
