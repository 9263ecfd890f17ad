"""What all neurons of a model do while it answers, counted on the tokens that it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from interventions.calls import Phase, Positions
from interventions.firing import Activity, FiringHistogram
from interventions.places import Places
from interventions.recorded import recorded
from lm.chat import Chat
from lm.generation import generate

_COUNTED: dict[str, tuple[Phase, Positions]] = {"generated": ("generated", "all"), "answers": ("all", "last")}


@dataclass(frozen=True)
class SearchOptions:
    """How a model answers while its neurons are watched.

    Attributes:
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 takes the likeliest token each time; above it tokens are drawn.
        rows: Answers generated at once.
        seed: Seed of drawing.
        watched: Count on generated tokens as they are read, as published; or from the prompt's last token on, where the
            first token of an answer is chosen, such as the letter of an option.
    """

    max_new_tokens: int = 60
    temperature: float = 0.0
    rows: int = 64
    seed: int = 0
    watched: Literal["generated", "answers"] = "generated"


def answering_activity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    chats: Sequence[Chat],
    edges: Tensor,
    options: SearchOptions,
) -> Activity:
    """What every neuron's gate does while a model answers.

    Prompts do not count, unless their last token is asked for, nor do the token that ends an answer and what is
    computed after it for the sake of others.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        places: Its neurons.
        chats: The prompts.
        edges: Of the histograms' bins.
        options: How to answer.

    Returns:
        The counts of all layers, on the device of the last one.

    Raises:
        InputError: The model says nothing, or an activation is not a number.
    """
    sites = [places.neurons(layer, "gate") for layer in places.layers]
    phase, positions = _COUNTED[options.watched]
    with recorded(model, sites, FiringHistogram(edges), phase=phase, positions=positions) as recording:
        generate(
            model,
            tokenizer,
            chats,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            seed=options.seed,
            batch_size=options.rows,
        )
    layers: list[Activity] = [recording[site] for site in sites]
    if not layers or not layers[0].tokens:
        raise InputError(
            "the model answers with nothing, so no neuron can be watched",
            expected="answers of two tokens or more",
            fix="raise max_new_tokens, or take another model",
        )
    device = layers[-1].counts.device
    activity = Activity(
        torch.stack([one.counts.to(device) for one in layers]),
        torch.stack([one.histogram.to(device) for one in layers]),
        layers[0].tokens,
    )
    counted = activity.histogram.sum(-1)
    if bool((counted != activity.tokens).any()):
        layer, neuron = (counted != activity.tokens).nonzero()[0].tolist()
        raise InputError(
            "an activation is not a number",
            row=f"layer {layer}, neuron {neuron}",
            expected="finite activations",
            got="nan",
            fix="load the model in another number format, such as float32 or bfloat16",
        )
    return activity
