"""Which trait shows in a text: accuracy, the personality edit index and the expression of a trait, from a classifier.

All of them take the probabilities that a classifier gives to some poles, such as `openness+`, or `neutral`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metrics.records import RecordMeans

SMALLEST = 1e-12
"""Probabilities below it count as this much, so that no loss is infinite."""


def pole_log_probs(probabilities: Tensor, candidates: Tensor) -> Tensor:
    """Log-probability of each candidate pole among the candidates alone.

    Args:
        probabilities: (N, K) over all poles of a classifier.
        candidates: (C,) places of the poles that are compared.

    Returns:
        (N, C).

    Raises:
        ValueError: If there are fewer than two candidates, or a place is none of K.

    Example:
        >>> pole_log_probs(torch.tensor([[0.2, 0.6, 0.2]]), torch.tensor([0, 1])).exp()
        tensor([[0.2500, 0.7500]])
    """
    if probabilities.ndim != 2:
        raise ValueError(f"`probabilities` expected shape (N, K) but got {tuple(probabilities.shape)}")
    if len(candidates) < 2 or int(candidates.min()) < 0 or int(candidates.max()) >= probabilities.shape[1]:
        raise ValueError(
            f"`candidates` expected two or more places below {probabilities.shape[1]} but got {candidates.tolist()}"
        )
    return probabilities[:, candidates].clamp_min(SMALLEST).log().log_softmax(-1)


def pole_accuracy(probabilities: Tensor, candidates: Tensor, wanted: Tensor) -> Tensor:
    """Whether the wanted pole is the likeliest of the candidates, for each text (Acc).

    Args:
        probabilities: (N, K).
        candidates: (C,) places of the poles that are compared.
        wanted: (N,) place among the candidates of the pole that each text should show.

    Returns:
        (N,) 1 or 0.

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023 (Acc).

    Example:
        >>> pole_accuracy(torch.tensor([[0.2, 0.6, 0.2]] * 2), torch.tensor([0, 1]), torch.tensor([1, 0]))
        tensor([1., 0.])
    """
    found = pole_log_probs(probabilities, candidates).argmax(-1)
    return (found == wanted).to(probabilities.dtype)


def edit_index(before: Tensor, after: Tensor, candidates: Tensor, wanted: Tensor) -> Tensor:
    """How much less a classifier is surprised by the wanted pole after an edit than before, for each text (TPEI).

    Args:
        before: (N, K) probabilities of the poles in the base model's texts.
        after: (N, K) those in the edited model's texts, for the same questions.
        candidates: (C,) places of the poles that are compared.
        wanted: (N,) place among the candidates of the pole that each text should show.

    Returns:
        (N,) cross-entropy before minus cross-entropy after; positive where the text has come closer to the pole.

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023 (target personality edit index).

    Example:
        >>> before, after = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
        >>> edit_index(before, after, torch.tensor([0, 1]), torch.tensor([1]))  # log 0.75 - log 0.5
        tensor([0.4055])
    """
    rows = torch.arange(len(wanted))
    losses = [-pole_log_probs(part, candidates)[rows, wanted] for part in (before, after)]
    return losses[0] - losses[1]


def trait_expression(probabilities: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Probability of a trait's high pole minus that of its low pole, for each text and trait.

    Args:
        probabilities: (N, K) over all poles of a classifier.
        high: (T,) place of each trait's high pole.
        low: (T,) place of each trait's low pole.

    Returns:
        (N, T) from -1 to 1.

    Example:
        >>> trait_expression(torch.tensor([[0.7, 0.1, 0.2]]), torch.tensor([0]), torch.tensor([1]))
        tensor([[0.6000]])
    """
    return probabilities[:, high] - probabilities[:, low]


class PoleAccuracy(RecordMeans):
    """Share of texts whose likeliest pole is the wanted one; higher is better.

    Args:
        candidates: Places of the poles that are compared.
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = PoleAccuracy([0, 1])
        >>> metric.update(torch.tensor([[0.2, 0.8], [0.2, 0.8]]), torch.tensor([1, 0]))
        >>> metric.compute()["acc"]
        tensor(0.5000)
    """

    higher_is_better = True

    def __init__(self, candidates: Sequence[int], keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__(("acc",), keep_records, **kwargs)
        self.candidates = torch.tensor(list(candidates))

    def update(self, probabilities: Tensor, wanted: Tensor) -> None:
        """Add texts: probabilities (N, K), and the place of the wanted pole among the candidates (N,)."""
        values = pole_accuracy(probabilities, self.candidates, wanted)[:, None]
        self._add(values, torch.ones_like(values, dtype=torch.bool), torch.zeros(len(values), dtype=torch.bool))


class EditIndex(RecordMeans):
    """Target personality edit index over coherent texts; higher is better, 0 is an edit without effect.

    Texts that are not coherent are left out of the mean and counted in `empty_records`.

    Args:
        candidates: Places of the poles that are compared.
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = EditIndex([0, 1])
        >>> before, after = torch.full((2, 2), 0.5), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
        >>> metric.update(before, after, torch.tensor([1, 1]), torch.tensor([True, False]))
        >>> metric.compute()["tpei"], metric.compute()["empty_records"]
        (tensor(0.4055), tensor(1))
    """

    higher_is_better = True

    def __init__(self, candidates: Sequence[int], keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__(("tpei",), keep_records, **kwargs)
        self.candidates = torch.tensor(list(candidates))

    def update(self, before: Tensor, after: Tensor, wanted: Tensor, coherent: Tensor) -> None:
        """Add texts: probabilities before and after (N, K), wanted poles (N,), and which texts count (N,)."""
        values = edit_index(before, after, self.candidates, wanted)[:, None]
        self._add(values, coherent.bool()[:, None], ~coherent.bool())


class TraitExpression(RecordMeans):
    """Mean expression of each trait over texts, from -1 to 1.

    Args:
        traits: Names of the traits, as the figures are called.
        high: Place of each trait's high pole.
        low: Place of each trait's low pole.
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Raises:
        ValueError: If there is not one high and one low pole per trait.

    Example:
        >>> metric = TraitExpression(["openness"], [0], [1])
        >>> metric.update(torch.tensor([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4]]))
        >>> round(metric.compute()["openness"].item(), 4)
        0.1
    """

    higher_is_better = None

    def __init__(
        self,
        traits: Sequence[str],
        high: Sequence[int],
        low: Sequence[int],
        keep_records: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(traits, keep_records, **kwargs)
        if not len(traits) == len(high) == len(low):
            raise ValueError(f"expected a high and a low pole for each of {list(traits)} but got {high} and {low}")
        self.high, self.low = torch.tensor(list(high)), torch.tensor(list(low))

    def update(self, probabilities: Tensor) -> None:
        """Add texts by their probabilities (N, K)."""
        values = trait_expression(probabilities, self.high, self.low)
        self._add(values, torch.ones_like(values, dtype=torch.bool), torch.zeros(len(values), dtype=torch.bool))
