"""Rows of a batch in chunks of a bounded number of tokens, with as little padding as their lengths allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from editors.halves import ModelHalves
from lm.chat import TokenBatch

# Chunks of the upper layers that the lower ones take together.
LOWER_AT_ONCE = 3


@dataclass(frozen=True)
class RowChunk:
    """Some rows of a batch.

    Attributes:
        rows: (R,) their numbers in the batch.
        columns: The columns that matter to them, from their first token to the last position that is kept.
        tokens: Their tokens in these columns.
        keep: (R, C) the kept positions in these columns.
        records: The record each row belongs to.
    """

    rows: Tensor
    columns: slice
    tokens: TokenBatch
    keep: Tensor
    records: list[int]

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """Row and column in the batch of each kept position, (N,) each."""
        row, column = self.keep.nonzero().unbind(1)
        return self.rows[row], column + self.columns.start

    def part(self, rows: slice) -> RowChunk:
        """Some of its rows, in the same columns."""
        return RowChunk(self.rows[rows], self.columns, self.tokens.rows(rows), self.keep[rows], self.records[rows])


def chunks_with_states(
    halves: ModelHalves,
    tokens: TokenBatch,
    records: Tensor,
    keep: Tensor,
    most_tokens: int,
    *,
    whole_records: bool = False,
) -> Iterator[tuple[RowChunk, Tensor]]:
    """Rows in chunks for the upper layers, each with the states that enter these.

    The lower layers keep nothing, so they take several chunks at once, which is faster.

    Args:
        halves: The model, cut at the first edited block.
        tokens: The batch.
        records: (R,) the record of each row.
        keep: (R, T) True where a model's output is wanted; other rows are not run.
        most_tokens: Tokens of a chunk, padding included; what must not be divided may be longer.
        whole_records: Keep all rows of a record in one chunk.

    Yields:
        A chunk and its states (R, C, D).
    """
    for wide in row_chunks(tokens, records, keep, LOWER_AT_ONCE * most_tokens, whole_records=whole_records):
        states = halves.lower(wide.tokens)
        most_rows = max(1, most_tokens // wide.keep.shape[1])
        for rows in _even_parts(wide.records, most_rows, whole_records):
            yield wide.part(rows), states[rows]


def _even_parts(records: Sequence[int], most_rows: int, whole_records: bool) -> Iterator[slice]:
    """Cut rows into parts of about the same size: a small last part would take nearly as long as a full one."""
    units = [len(list(rows)) for _, rows in groupby(records)] if whole_records else [1] * len(records)
    count = -(-len(records) // most_rows)
    start = end = number = 0
    for unit in units:
        even = len(records) * (number + 1) / count
        if end > start and (end >= even or end - start + unit > most_rows):
            yield slice(start, end)
            start, number = end, number + 1
        end += unit
    if end > start:
        yield slice(start, end)


def row_chunks(
    tokens: TokenBatch, records: Tensor, keep: Tensor, most_tokens: int, *, whole_records: bool = False
) -> Iterator[RowChunk]:
    """Cut the rows with any position to keep into chunks.

    Rows of like length come together, and inside a chunk the rows of a record lie next to each other. What follows the
    last kept position has no effect on it, so it is cut off.

    Args:
        tokens: The batch.
        records: (R,) the record of each row.
        keep: (R, T) True where a model's output is wanted.
        most_tokens: Tokens of a chunk, padding included; what must not be divided may be longer.
        whole_records: Keep all rows of a record in one chunk.

    Yields:
        The chunks.
    """
    numbers = torch.arange(1, keep.shape[1] + 1, device=keep.device)
    ends = (keep * numbers).amax(1)
    read = (tokens.attention_mask.bool() & (numbers <= ends[:, None])) | keep
    lengths, of_row = read.sum(1).tolist(), records.tolist()
    units: dict[int, list[int]] = {}
    for row in ends.nonzero()[:, 0].tolist():
        units.setdefault(of_row[row] if whole_records else row, []).append(row)
    for group in _groups(list(units.values()), lengths, most_tokens):
        group.sort(key=lambda row: (of_row[row], row))
        rows = torch.tensor(group, device=keep.device)
        used = read[rows].any(0).nonzero()[:, 0].tolist()
        columns = slice(used[0], used[-1] + 1)
        part = TokenBatch(
            tokens.input_ids[rows, columns], tokens.attention_mask[rows, columns], tokens.answer_mask[rows, columns]
        )
        yield RowChunk(rows, columns, part, keep[rows, columns], [of_row[row] for row in group])


def _groups(units: Sequence[list[int]], lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Units of rows in falling length, as many together as fit under the longest of them."""
    group: list[int] = []
    longest = 0
    for unit in sorted(units, key=lambda rows: -max(lengths[row] for row in rows)):
        if group and longest * (len(group) + len(unit)) > most_tokens:
            yield group
            group = []
        longest = longest if group else max(lengths[row] for row in unit)
        group = group + unit
    if group:
        yield group
