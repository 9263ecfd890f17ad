"""Which neurons make a trait: how often they fire at its two ends, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from files.errors import InputError
from interventions.firing import Activity

Rare = Literal["left_out", "kept"]
# Rows of histograms that are worked on at once.
_ROWS = 2**12
_STEEPNESS, _MIDDLE = 10.0, 0.15


@dataclass(frozen=True)
class NeuronSet:
    """Neurons of one end of a trait, the most telling first.

    Attributes:
        layers: Layer of each (m,).
        neurons: Its number in the layer (m,).
        difference: How much more often it fires than at the other end (m,).
        rate: How often it fires (m,).
        percentile: The 95th percentile of its activation (m,); -inf where it fires too rarely for one.
    """

    layers: Tensor
    neurons: Tensor
    difference: Tensor
    rate: Tensor
    percentile: Tensor

    def __len__(self) -> int:
        """Number of neurons m."""
        return len(self.layers)

    def table(self) -> Tensor:
        """Layer, neuron, difference, rate and percentile side by side, in float64 (m, 5)."""
        columns = (self.layers, self.neurons, self.difference, self.rate, self.percentile)
        return torch.stack([column.double() for column in columns], dim=1)

    def dense(self, values: Tensor, layers: int, width: int) -> Tensor:
        """Numbers of these neurons among those of all neurons of a model (layers, width), 0 for the others.

        Example:
            >>> one = neuron_set(torch.tensor([[1.0, 2.0, 0.3, 0.5, 0.8]]))
            >>> one.dense(torch.tensor([7.0]), 2, 3)
            tensor([[0., 0., 0.],
                    [0., 0., 7.]])
        """
        found = values.new_zeros(layers, width)
        found[self.layers, self.neurons] = values
        return found


def neuron_set(table: Tensor) -> NeuronSet:
    """Neurons from a table of layer, neuron, difference, rate and percentile (m, 5)."""
    layers, neurons, difference, rate, percentile = table.double().unbind(1)
    return NeuronSet(layers.long(), neurons.long(), difference.float(), rate.float(), percentile.float())


def firing_rates(counts: Tensor, tokens: int) -> Tensor:
    """Share of tokens at which neurons fire, in float32.

    Args:
        counts: Tokens at which each fires, of any shape.
        tokens: Tokens counted.

    Raises:
        ValueError: No token was counted.
    """
    if tokens < 1:
        raise ValueError("expected at least one counted token")
    return counts.to(torch.float32) / tokens


def percentiles(histogram: Tensor, edges: Tensor, share: float = 0.95) -> Tensor:
    """The value that a share of a neuron's activations does not exceed, read off histograms.

    Args:
        histogram: (..., bins) whole numbers.
        edges: (bins + 1,).
        share: The share, between 0 and 1.

    Returns:
        (...) in float32: the lower edge of the first bin up to which the share of all values is reached. That is -inf
        for a neuron that fires too rarely to have such a percentile above 0.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024 (as released).

    Example:
        >>> percentiles(torch.tensor([[19, 1, 0], [0, 18, 2]]), torch.tensor([-torch.inf, 0.0, 0.5, torch.inf]))
        tensor([  -inf, 0.5000])
    """
    found = []
    for rows in histogram.flatten(0, -2).split(_ROWS):
        reached = rows.cumsum(-1, dtype=torch.int32)
        # In double precision; the tiny factor keeps a product that should be whole from being rounded above itself.
        needed = (reached[:, -1:].double() * share * (1 - 1e-12)).ceil().to(torch.int32)
        found.append(edges.to(rows.device)[torch.searchsorted(reached, needed).squeeze(-1)])
    return torch.cat(found).view(histogram.shape[:-1]).float()


def select_neurons(
    rates: Tensor,
    opposite: Tensor,
    percentile: Tensor,
    minimum: int = 2000,
    threshold: float = 0.1,
    rare: Rare = "left_out",
) -> NeuronSet:
    """The neurons that fire more often at one end of a trait than at the other.

    All whose rates differ by the threshold or more are taken; where these are too few, the next ones down the list,
    however small the difference, until there are enough.

    Args:
        rates: (L, W) at this end.
        opposite: (L, W) at the other.
        percentile: (L, W) at this end.
        minimum: How many are enough.
        threshold: The difference from which on all are taken.
        rare: What becomes of neurons without a percentile above 0: nothing can be added to them, so they are left out
            of the list; or kept in it, as released.

    Returns:
        The neurons, by falling difference.

    Raises:
        InputError: An option means nothing.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024 (as released).

    Deviation:
        The release keeps neurons that fire too rarely, cannot read them back from its own file, and would add -inf.

    Example:
        >>> rates, percentile = torch.tensor([[0.9, 0.5, 0.3]]), torch.tensor([[1.0, 0.5, -torch.inf]])
        >>> select_neurons(rates, torch.tensor([[0.2, 0.4, 0.0]]), percentile, minimum=2).neurons
        tensor([0, 1])
    """
    if minimum < 0 or not 0 <= threshold <= 1:
        raise InputError(
            "is out of range",
            field="minimum" if minimum < 0 else "threshold",
            expected="0 or more" if minimum < 0 else "a number from 0 to 1",
            got=minimum if minimum < 0 else threshold,
            fix="correct the option",
        )
    difference = rates - opposite
    order = difference
    if rare == "left_out":
        order = difference.masked_fill(percentile.isneginf(), -torch.inf)
    sorted_difference, places = order.flatten().sort(descending=True, stable=True)
    possible = int((sorted_difference > -torch.inf).sum())
    count = min(max(int((sorted_difference >= threshold).sum()), minimum), possible)
    chosen = places[:count].cpu()
    width = rates.shape[1]
    return NeuronSet(
        chosen // width,
        chosen % width,
        difference.flatten().cpu()[chosen],
        rates.flatten().cpu()[chosen],
        percentile.flatten().cpu()[chosen],
    )


def select_poles(
    high: Activity,
    low: Activity,
    edges: Tensor,
    minimum: int = 2000,
    threshold: float = 0.1,
    share: float = 0.95,
    rare: Rare = "left_out",
) -> tuple[NeuronSet, NeuronSet]:
    """The neurons of both ends of a trait.

    Args:
        high: What all neurons did at its high end.
        low: At its low end.
        edges: Of the histograms' bins.
        minimum: As in `select_neurons`.
        threshold: Likewise.
        share: As in `percentiles`.
        rare: As in `select_neurons`.

    Returns:
        Those of the high end, and those of the low end.
    """
    rates = [firing_rates(side.counts, side.tokens) for side in (high, low)]
    tops = [percentiles(side.histogram, edges, share) for side in (high, low)]
    return (
        select_neurons(rates[0], rates[1], tops[0], minimum, threshold, rare),
        select_neurons(rates[1], rates[0], tops[1], minimum, threshold, rare),
    )


def push_weights(difference: Tensor) -> Tensor:
    """How much of its percentile is added to a neuron, by how much more often it fires.

    Args:
        difference: Of firing rates, of any shape.

    Returns:
        sigmoid(10 * (difference - 0.15)).

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024 (as released).

    Example:
        >>> push_weights(torch.tensor([0.15, 1.0]))
        tensor([0.5000, 0.9998])
    """
    return torch.sigmoid(_STEEPNESS * (difference - _MIDDLE))


def push_amounts(neurons: NeuronSet, kept: Tensor | None = None) -> Tensor:
    """What is added to each neuron at strength 1 (m,).

    Args:
        neurons: The neurons.
        kept: (m,) which of them are pushed at all; all of them by default.

    Returns:
        Percentile times weight; 0 for a neuron that fires too rarely to have a percentile.
    """
    amounts = neurons.percentile * push_weights(neurons.difference)
    pushed = neurons.percentile.isfinite()
    if kept is not None:
        pushed = pushed & kept
    return torch.where(pushed, amounts, torch.zeros_like(amounts))


def drawn_to_keep(count: int, dropped: float, generator: torch.Generator) -> Tensor:
    """Draw which neurons are pushed (m,), as the release does with a tenth of them left out.

    Args:
        count: Number of neurons m.
        dropped: Share that is left out.
        generator: Where the draws come from.
    """
    return kept_by(torch.rand(count, generator=generator), dropped)


def kept_by(random: Tensor, dropped: float) -> Tensor:
    """Which neurons are pushed, by a random number from 0 to 1 for each: those above `1 - dropped` are not.

    Example:
        >>> kept_by(torch.tensor([0.05, 0.95]), 0.1)
        tensor([ True, False])
    """
    return random <= 1 - dropped
