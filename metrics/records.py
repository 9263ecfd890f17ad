"""Quantities of one edited record, person or item: summed over its rows, averaged over records, kept for intervals.

Rows of one record are not independent, so a metric here first reduces them to one value per record. The mean and the
bootstrap are then over records. A record for which a quantity does not exist (no positive rows, say) is counted in
`empty_records` and left out of the mean; it never turns the mean into nan.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from metrics.bootstrap import Interval, bootstrap_difference, bootstrap_interval


def record_index(record: Tensor | None, rows: int, num_records: int | None, device: torch.device) -> tuple[Tensor, int]:
    """Number the records of a batch 0, 1, ... so that rows can be summed by record.

    Args:
        record: (R,) the record each row belongs to, any whole numbers; None takes all rows as one record.
        rows: R, the number of rows.
        num_records: How many records there are. Needed only if some may have no row at all; `record` then holds numbers
            below it.
        device: Where the result lives.

    Returns:
        (R,) numbers below E in ascending order of `record`, and E.

    Raises:
        ValueError: If `record` has another length than the rows, or a number outside `num_records`.

    Example:
        >>> record_index(torch.tensor([7, 7, 3]), 3, None, torch.device("cpu"))
        (tensor([1, 1, 0]), 2)
    """
    if record is None:
        return torch.zeros(rows, dtype=torch.long, device=device), num_records or 1
    if record.shape != (rows,):
        raise ValueError(f"`record` expected shape ({rows},), one number per row, but got {tuple(record.shape)}")
    record = record.to(device=device, dtype=torch.long)
    if num_records is None:
        names, index = torch.unique(record, return_inverse=True)
        return index, len(names)
    if rows and not (0 <= int(record.min()) and int(record.max()) < num_records):
        raise ValueError(f"`record` expected numbers from 0 to {num_records - 1} but got {record.tolist()}")
    return record, num_records


def sum_by_record(values: Tensor, index: Tensor, num_records: int) -> Tensor:
    """Add up rows of the same record.

    Args:
        values: (R,) or (R, Q) one value, or Q of them, per row.
        index: (R,) record of each row, below E.
        num_records: E.

    Returns:
        (E,) or (E, Q), zero for a record without rows.

    Example:
        >>> sum_by_record(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
        tensor([3., 0., 4.])
    """
    return values.new_zeros(num_records, *values.shape[1:]).index_add(0, index, values)


class RecordMeans(Metric):
    """Means over records of several named quantities: the common base of the metrics that are averaged over records.

    A subclass computes the quantities of the records in a batch and hands them to `_add`. All rows of a record belong
    into one `update`. `compute` returns a dictionary: the mean of each quantity, `records` (all that came) and
    `empty_records` (those without a value). A mean over no record at all is nan, which stands for "no value".

    Args:
        quantities: Names of the quantities, the headline first.
        keep_records: Keep the value of every record, which `per_record` and `intervals` need. Switch it off where only
            means are wanted.
        kwargs: Options of every torchmetrics metric.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    counted: Tensor
    records: Tensor
    empty_records: Tensor
    kept: list[Tensor] | Tensor

    def __init__(self, quantities: Sequence[str], keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantities = list(quantities)
        self.keep_records = keep_records
        size = len(self.quantities)
        # float32, since a metric moves with its module and some devices know no float64
        self.add_state("total", torch.zeros(size), dist_reduce_fx="sum")
        self.add_state("counted", torch.zeros(size, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("records", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("empty_records", torch.tensor(0), dist_reduce_fx="sum")
        if keep_records:
            # flat float32: a process without any record joins the gathering with an empty tensor of that form
            self.add_state("kept", [], dist_reduce_fx="cat")

    def _add(self, values: Tensor, known: Tensor, empty: Tensor) -> None:
        """Add records: values (E, Q), where they are known (E, Q), and which records count as empty (E,)."""
        values = values.detach().to(device=self.total.device, dtype=self.total.dtype)
        known, empty = known.to(self.total.device), empty.to(self.total.device)
        self.total = self.total + torch.where(known, values, 0.0).sum(0)
        self.counted = self.counted + known.sum(0)
        self.records = self.records + len(empty)
        self.empty_records = self.empty_records + empty.sum()
        if self.keep_records and isinstance(self.kept, list):
            self.kept.append(torch.stack([values, known.to(values.dtype)], 1).flatten())

    def compute(self) -> dict[str, Tensor]:
        """Mean of every quantity over the records that have it, and the numbers of records and of empty ones."""
        means = dict(zip(self.quantities, self.total / self.counted, strict=True))
        return means | {"records": self.records, "empty_records": self.empty_records}

    def _kept(self) -> tuple[Tensor, Tensor]:
        """Values (E, Q) and where they are known (E, Q), of all processes; each of them must call this."""
        if not self.keep_records:
            raise ValueError(f"{type(self).__name__} has no values per record: create it with keep_records=True")
        with self.sync_context():
            kept = dim_zero_cat(self.kept) if len(self.kept) else self.total.new_zeros(0)
        values, known = kept.reshape(-1, 2, len(self.quantities)).unbind(1)
        return values, known.bool()

    def per_record(self) -> dict[str, Tensor]:
        """Value of each quantity for every record (E,), nan where it has none, in the order of the updates.

        Under several processes every one of them must call this; all get the records of all.

        Raises:
            ValueError: If the metric was told not to keep records.
        """
        values, known = self._kept()
        return dict(zip(self.quantities, torch.where(known, values, torch.nan).unbind(-1), strict=True))

    def intervals(
        self, level: float = 0.95, samples: int = 1000, base: "RecordMeans | None" = None
    ) -> dict[str, Interval]:
        """Bootstrap interval over records for every quantity, from the records that have it.

        Args:
            level: Share of intervals that hold the true value.
            samples: Number of bootstrap samples.
            base: The same metric of the unedited model, fed with the same records in the same order: the intervals are
                then of the paired differences, this one minus base.

        Returns:
            An interval per quantity; its `n` counts the records that entered it.

        Raises:
            ValueError: If the base holds other records, or records were not kept.
        """
        values, known = self._kept()
        if base is None:
            return {
                name: bootstrap_interval(values[known[:, q], q], level=level, samples=samples)
                for q, name in enumerate(self.quantities)
            }
        base_values, base_known = base._kept()
        if base_values.shape != values.shape:
            raise ValueError(
                f"`base` expected the same records and quantities as this metric, {tuple(values.shape)}, "
                f"but got {tuple(base_values.shape)}"
            )
        both = known & base_known
        return {
            name: bootstrap_difference(values[both[:, q], q], base_values[both[:, q], q], level=level, samples=samples)
            for q, name in enumerate(self.quantities)
        }
