"""Many short texts after one long beginning, side by side in a single row.

Run as rows of a batch, each text would get a copy of the beginning's states, and attention would read every copy. In
one row they are there once; the attention mask keeps the texts apart, and each counts its positions from where the
beginning ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lm.growing_cache import cache_after
from lm.passes import CACHE, ForwardRows, States, states_of

SHARED = -1
"""Number of the beginning, which every text sees."""

# Below this the copies are small, and the texts would mostly look at one another behind the mask.
_LONG = 512
_TOKENS_ON_CPU, _TOKENS_ELSEWHERE = 512, 4096

Enter = Callable[[ForwardRows], AbstractContextManager[object]]


@dataclass(frozen=True)
class Packed:
    """Texts in one row, and the states of what they follow.

    Attributes:
        states: Keys and values (1, heads, S, head_dim) per layer of what was computed before.
        owners: The text that each of these S states belongs to, or `SHARED` (S,).
    """

    states: States
    owners: Tensor

    @property
    def width(self) -> int:
        """Number of states S."""
        return len(self.owners)


def worth_packing(model: PreTrainedModel, shared: int) -> bool:
    """Whether texts after a shared beginning of some tokens are better run in one row, and the model can do it."""
    return shared >= _LONG and model.config._attn_implementation in ("sdpa", "eager")


def packs(lengths: Sequence[int], device: torch.device) -> list[range]:
    """Share texts out over rows of a handy width.

    >>> packs([200, 200, 200, 200], torch.device("cpu"))
    [range(0, 2), range(2, 4)]
    """
    most = _TOKENS_ON_CPU if device.type == "cpu" else _TOKENS_ELSEWHERE
    ranges, start, width = [], 0, 0
    for place, length in enumerate(lengths):
        if width and width + length > most:
            ranges.append(range(start, place))
            start, width = place, 0
        width += length
    return [*ranges, range(start, len(lengths))] if lengths else []


def run_packed(
    model: PreTrainedModel,
    before: Packed,
    texts: Sequence[Sequence[int]],
    owners: Sequence[int],
    positions: Sequence[int],
    enter: Enter | None = None,
    key: int = 0,
    are_ends: bool = False,
) -> tuple[Tensor, Packed]:
    """Run texts side by side after states that are already there.

    Args:
        model: The model.
        before: The states; a text sees the shared ones and its own.
        texts: n texts, at least one token each.
        owners: The number of each text.
        positions: Position of each text's first token in its sequence.
        enter: What steers them all, if anything.
        key: Its key.
        are_ends: Whether the texts are last tokens of prompts, steered as such.

    Returns:
        Logits after each text (n, V), and all states.
    """
    device = model.device
    ids = torch.tensor([[token for text in texts for token in text]], device=device)
    lengths = torch.tensor([len(text) for text in texts], device=device)
    owner = torch.tensor(list(owners), device=device).repeat_interleave(lengths)
    starts = lengths.cumsum(0) - lengths
    offset = torch.arange(ids.shape[1], device=device) - starts.repeat_interleave(lengths)
    place = torch.tensor(list(positions), device=device).repeat_interleave(lengths) + offset
    everybody = torch.cat([before.owners, owner])
    rows = ForwardRows(
        keys=torch.tensor([key], device=device),
        attention_mask=torch.ones((1, len(everybody)), dtype=torch.long, device=device),
        answer_mask=torch.full(ids.shape, are_ends, device=device),
        closes_prompt=True,
    )
    with enter(rows) if enter is not None else nullcontext():
        output = model(
            input_ids=ids,
            attention_mask=_mask(owner, everybody, before.width, model.dtype),
            position_ids=place.unsqueeze(0),
            use_cache=True,
            logits_to_keep=starts + lengths - 1,
            **{CACHE: cache_after(before.states)},
        )
    return output.logits[0], Packed(states_of(output), everybody)


def _mask(owner: Tensor, everybody: Tensor, past: int, dtype: torch.dtype) -> Tensor:
    """What each token may look at (1, 1, T, S + T), added to the attention's scores.

    >>> _mask(torch.tensor([0, 0, 1]), torch.tensor([SHARED, 0, 0, 1]), 1, torch.float32)[0, 0] == 0
    tensor([[ True,  True, False, False],
            [ True,  True,  True, False],
            [ True, False, False,  True]])
    """
    own = (everybody == SHARED) | (everybody == owner.unsqueeze(1))
    columns = torch.arange(len(everybody), device=owner.device)
    earlier = columns <= past + torch.arange(len(owner), device=owner.device).unsqueeze(1)
    sees = own & earlier
    mask = torch.zeros(sees.shape, dtype=dtype, device=owner.device).masked_fill(~sees, torch.finfo(dtype).min)
    return mask[None, None]
