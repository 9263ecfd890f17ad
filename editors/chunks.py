"""Rows of a batch in chunks of a bounded number of tokens, with as little padding as their lengths allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lm.chat import TokenBatch


@dataclass(frozen=True)
class RowChunk:
    """Some rows of a batch.

    Attributes:
        rows: (R,) their numbers in the batch.
        columns: The columns that hold any of their tokens.
        tokens: Their tokens in these columns.
        records: The record each row belongs to.
    """

    rows: Tensor
    columns: slice
    tokens: TokenBatch
    records: list[int]


def row_chunks(tokens: TokenBatch, records: Tensor, chosen: Tensor, most_tokens: int) -> Iterator[RowChunk]:
    """Cut the chosen rows into chunks.

    Rows of like length come together, and inside a chunk the rows of a record lie next to each other.

    Args:
        tokens: The batch.
        records: (R,) the record of each row.
        chosen: (R,) True for the rows wanted.
        most_tokens: Tokens of a chunk, padding included; a single row may be longer.

    Yields:
        The chunks.
    """
    lengths = tokens.attention_mask.sum(1).tolist()
    of_row = records.tolist()
    for group in _groups(sorted(chosen.nonzero()[:, 0].tolist(), key=lambda row: -lengths[row]), lengths, most_tokens):
        group.sort(key=lambda row: (of_row[row], row))
        rows = torch.tensor(group, device=tokens.input_ids.device)
        used = tokens.attention_mask[rows].any(0).nonzero()[:, 0].tolist()
        columns = slice(used[0], used[-1] + 1) if used else slice(0, 0)
        part = TokenBatch(
            tokens.input_ids[rows, columns], tokens.attention_mask[rows, columns], tokens.answer_mask[rows, columns]
        )
        yield RowChunk(rows, columns, part, [of_row[row] for row in group])


def _groups(rows: Sequence[int], lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Rows in falling length, as many together as fit under the longest of them."""
    group: list[int] = []
    for row in rows:
        if group and lengths[group[0]] * (len(group) + 1) > most_tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
