"""The batch of a personality edit: what to edit, what the edit must reach, and what it must leave alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lm.chat import Chat, TokenBatch


@dataclass(frozen=True)
class EditRecord:
    """One edit in words.

    Attributes:
        topic: What the opinion is about.
        target: Name of the trait that the edited model's opinion is to show.
        prompt: A chat that asks for an opinion on the topic, for generation before and after the edit.
        locality_topic: The other topic on which opinions must stay.
    """

    topic: str
    target: str
    prompt: Chat = field(default_factory=list)
    locality_topic: str = ""


@dataclass
class EditBatch:
    """E edits with the rows that judge them.

    Attributes:
        edit: The texts the edits are made from: E rows, or n * E rows where every edit has n texts (rows of one edit
            contiguous).
        outer: Opinions on the edited topics, of the target trait and of other traits (R rows, those of one record
            contiguous).
        outer_record: (R,) position in `records` of each outer row.
        same_mask: (R,) True where the opinion is one of the target trait.
        scored: (R,) True where the row enters losses and metrics.
        locality: Opinions on other topics (L rows, those of one record contiguous).
        locality_record: (L,) position in `records` of each locality row.
        records: The edits in words, E of them.
    """

    edit: TokenBatch
    outer: TokenBatch
    outer_record: Tensor
    same_mask: Tensor
    scored: Tensor
    locality: TokenBatch
    locality_record: Tensor
    records: list[EditRecord]

    def __post_init__(self) -> None:
        beside_outer = {"outer_record": self.outer, "same_mask": self.outer, "scored": self.outer}
        for name, tokens in (beside_outer | {"locality_record": self.locality}).items():
            shape = tuple(getattr(self, name).shape)
            if shape != (len(tokens),):
                raise ValueError(f"`{name}` expected shape ({len(tokens)},), one entry per row, but got {shape}")
        if not self.records or len(self.edit) % len(self.records):
            raise ValueError(f"expected as many edit rows for each record but got {len(self.edit)} for {len(self)}")

    def __len__(self) -> int:
        """Number of edits E."""
        return len(self.records)

    def to(self, device: torch.device | str) -> EditBatch:
        """The same batch on a device."""
        return EditBatch(
            edit=self.edit.to(device),
            outer=self.outer.to(device),
            outer_record=self.outer_record.to(device),
            same_mask=self.same_mask.to(device),
            scored=self.scored.to(device),
            locality=self.locality.to(device),
            locality_record=self.locality_record.to(device),
            records=self.records,
        )
