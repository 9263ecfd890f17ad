"""Small edit batches of random tokens for the tests of this folder."""

import torch

from editors.records import EditBatch, EditRecord
from lm.chat import EncodedChat, TokenBatch, pad_encoded

VOCABULARY = 272


def random_tokens(rows: int, shortest: int, longest: int, generator: torch.Generator, side: str = "left") -> TokenBatch:
    """Rows of random length; the second half of each is its answer."""
    chats = []
    for _ in range(rows):
        length = int(torch.randint(shortest, longest + 1, (1,), generator=generator))
        ids = torch.randint(6, VOCABULARY, (length,), generator=generator).tolist()
        chats.append(EncodedChat(ids, [position >= length // 2 for position in range(length)]))
    return pad_encoded(chats, pad_id=0, side="left" if side == "left" else "right")


def random_batch(edits: int = 2, rows: int = 5, seed: int = 0, side: str = "left", edit_rows: int = 1) -> EditBatch:
    """Edits with `rows` opinions (every second one of the target) and `rows - 1` on another topic each."""
    generator = torch.Generator().manual_seed(seed)
    outer = random_tokens(edits * rows, 6, 12, generator, side)
    locality = random_tokens(edits * (rows - 1), 6, 14, generator, side)
    return EditBatch(
        edit=random_tokens(edits * edit_rows, 7, 11, generator, side),
        outer=outer,
        outer_record=torch.arange(edits).repeat_interleave(rows),
        same_mask=torch.arange(edits * rows) % 2 == 0,
        scored=torch.ones(edits * rows, dtype=torch.bool),
        locality=locality,
        locality_record=torch.arange(edits).repeat_interleave(rows - 1),
        records=[EditRecord(f"topic {number}", "extraversion") for number in range(edits)],
    )


def one_record(batch: EditBatch, record: int) -> EditBatch:
    """One of the records alone, padded as it was."""
    outer, locality = batch.outer_record == record, batch.locality_record == record
    per_record = len(batch.edit) // len(batch)
    return EditBatch(
        edit=batch.edit.rows(slice(record * per_record, (record + 1) * per_record)),
        outer=batch.outer.rows(outer),
        outer_record=torch.zeros(int(outer.sum()), dtype=torch.long),
        same_mask=batch.same_mask[outer],
        scored=batch.scored[outer],
        locality=batch.locality.rows(locality),
        locality_record=torch.zeros(int(locality.sum()), dtype=torch.long),
        records=[batch.records[record]],
    )
