"""Drawdown (DD): how far an edit moves what the model says about other topics."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.records import RecordMeans, record_index, sum_by_record
from metrics.token_log_probs import token_kl


class DrawdownParts(NamedTuple):
    """Drawdown of each record (E,), and which records have no position to compare (their value is nan)."""

    value: Tensor
    empty: Tensor


def drawdown_from_kl(
    kl: Tensor, mask: Tensor, record: Tensor | None = None, *, num_records: int | None = None
) -> DrawdownParts:
    """Drawdown from the KL divergence at each position, for many records at once.

    Args:
        kl: (R, T) KL(before || after). Where the mask is off, anything, nan included.
        mask: (R, T) True on the positions that count.
        record: (R,) the record of each row; None takes all rows as one.
        num_records: E, needed only if some record may have no row; `record` then counts from 0.

    Returns:
        The mean over the masked positions of each record (E,), records in ascending order.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> kl, mask = torch.tensor([[1.0, 3.0], [5.0, 9.0]]), torch.tensor([[1, 1], [1, 0]])
        >>> drawdown_from_kl(kl, mask).value, drawdown_from_kl(kl, mask, torch.tensor([0, 1])).value
        (tensor([3.]), tensor([2., 5.]))
    """
    if kl.shape != mask.shape:
        raise ValueError(f"`mask` expected shape {tuple(kl.shape)} but got {tuple(mask.shape)}")
    index, num_records = record_index(record, len(kl), num_records, kl.device)
    counted = mask.bool()
    summed = sum_by_record(torch.where(counted, kl, 0.0).sum(-1), index, num_records)
    number = sum_by_record(counted.sum(-1), index, num_records)
    return DrawdownParts(summed / number, number == 0)


def drawdown(
    logits_pre: Tensor,
    logits_post: Tensor,
    mask: Tensor,
    record: Tensor | None = None,
    *,
    num_records: int | None = None,
) -> DrawdownParts:
    """Mean KL(before || after) over the masked positions of each record.

    Args:
        logits_pre: (R, T, V) before the edit, any floating type.
        logits_post: (R, T2, V) after; of a longer one the last T positions are compared.
        mask: (R, T) True on the positions that count. There is no shift.
        record: (R,) the record of each row; None takes all rows as one.
        num_records: E, needed only if some record may have no row; `record` then counts from 0.

    Returns:
        Value and emptiness, each (E,).

    Raises:
        ValueError: If shapes do not fit.

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023 (metric DD).

    Example:
        >>> drawdown(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]), torch.ones(1, 1)).value
        tensor([0.8554])
    """
    return drawdown_from_kl(token_kl(logits_pre, logits_post, mask), mask, record, num_records=num_records)


class Drawdown(RecordMeans):
    """Drawdown averaged over edited records; lower is better, 0 is an edit that leaves other topics untouched.

    `compute` gives `drawdown`, `records` and `empty_records`. The unedited model's figure is 0 by definition.

    Args:
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Example:
        >>> metric = Drawdown()
        >>> metric.update(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]), torch.ones(1, 1))
        >>> metric.compute()["drawdown"]
        tensor(0.8554)
    """

    higher_is_better = False

    def __init__(self, keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__(("drawdown",), keep_records, **kwargs)

    def update(
        self,
        pre: Tensor,
        post: Tensor | None,
        mask: Tensor,
        record: Tensor | None = None,
        *,
        num_records: int | None = None,
    ) -> None:
        """Add whole records: logits before and after, or the KL divergence per position and None.

        Args:
            pre: (R, T, V) logits before the edit; or, where `post` is None, (R, T) KL(before || after).
            post: (R, T2, V) logits after the edit.
            mask: (R, T) True on the positions that count.
            record: (R,) the record of each row; None takes all rows as one.
            num_records: E, needed only if some record may have no row.
        """
        if post is None:
            parts = drawdown_from_kl(pre, mask, record, num_records=num_records)
        else:
            parts = drawdown(pre, post, mask, record, num_records=num_records)
        self._add(parts.value[:, None], ~parts.empty[:, None], parts.empty)
