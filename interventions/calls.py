"""What the tokens of each forward pass are: real or padding, prompt or generated, the prompt's last one.

All of it is read off the attention mask, the cache and what the caller says about the pass; never off the width of an
activation, which is that of a prompt at one step of a generation and 1 at the next.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from files.errors import InputError
from lm.passes import CACHE_NAMES, ForwardRows

Phase = Literal["all", "prompt", "generated"]
Positions = Literal["all", "last", "all_but_last"]


@dataclass(frozen=True)
class Call:
    """The tokens of one forward pass; each tensor (B, T) is true where the token is what the name says.

    Attributes:
        real: A token, not padding.
        generated: Part of an answer, not of the prompt.
        prompt_end: The last token of the row's prompt; nowhere if the prompt does not end in this pass.
        fresh: Not computed before for the same sequence (without a cache, generation computes its beginning again).
        finished: Follows or is the token that ended the row's generation, and is computed for other rows only.
        continues: Whether the pass goes on with the sequences of the pass before it.
    """

    real: Tensor
    generated: Tensor
    prompt_end: Tensor
    fresh: Tensor
    finished: Tensor
    continues: bool

    def selected(self, phase: Phase, positions: Positions) -> Tensor:
        """The tokens of a phase at some positions (B, T).

        Positions are those at the moment a token is read: every generated token is the last one then, and so is the
        last token of the prompt. A sequence therefore has the same ones whether it is computed in one pass or in many.
        """
        mask = self.real
        if phase != "all":
            mask = mask & (self.generated if phase == "generated" else ~self.generated)
        if positions != "all":
            last = self.prompt_end | self.generated
            mask = mask & (last if positions == "last" else ~last)
        return mask

    def same_as(self, other: Call) -> bool:
        """Whether both passes have the same kinds of tokens at the same places."""
        pairs = ((self.real, other.real), (self.generated, other.generated), (self.prompt_end, other.prompt_end))
        return all(torch.equal(mine, theirs) for mine, theirs in pairs)


class Calls:
    """Watches the passes of a model's decoder and tells what the tokens of the current one are.

    Without `rows`, a pass on an empty cache reads prompts, and one on a filled cache reads generated tokens. Without a
    cache, a pass that has one token more than the pass before it, and begins with the same prompts, goes on with that
    generation. Whoever computes prompts in parts, or scores given answers, says so by `rows`.

    Args:
        rows: What the caller knows about the rows of its pass, or of the first pass of its generation.
        stops: Tokens that end a generated text; None for those the model names.
    """

    def __init__(self, rows: ForwardRows | None = None, stops: Collection[int] | None = None) -> None:
        self._rows = rows
        self._stops = stops
        self._model: nn.Module | None = None
        self._current: Call | None = None
        self._prompts: Tensor | None = None
        self._width = 0
        self._done: Tensor | None = None
        self._backward_ran = False
        self._unclear = False

    def watch(self, model: nn.Module, stack: ExitStack) -> None:
        """Begin to watch; the stack ends it.

        Raises:
            InputError: The model has no decoder.
        """
        find: Any = getattr(model, "get_decoder", None)
        decoder = find() if find is not None else None
        if not isinstance(decoder, nn.Module):
            raise InputError(
                "prompts and generated tokens can be told apart in language models only",
                expected="a model with a decoder, as AutoModelForCausalLM loads it",
                got=type(model).__name__,
            )
        self._model = model
        signature = inspect.signature(decoder.forward)

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            call = self._read({**kwargs, **signature.bind_partial(*args).arguments} if args else kwargs)
            if torch.is_grad_enabled() and decoder.training:
                self._note_pass(call)
            self._current = call

        stack.callback(decoder.register_forward_pre_hook(before, with_kwargs=True).remove)

    def current(self) -> Call:
        """The pass that is being computed.

        Raises:
            InputError: The decoder was never called, only a part of it; or the backward pass computes activations again
                (gradient checkpointing) after several passes with other tokens, so that it is unclear which one.
        """
        if self._current is None:
            raise InputError(
                "which tokens are prompts is known only where the whole model is called",
                expected="a call of the model",
                got="a call of one of its parts",
            )
        if in_backward():
            self._backward_ran = True
            if self._unclear:
                raise InputError(
                    "several passes with different tokens before one backward pass",
                    expected="a backward pass after each pass, under gradient checkpointing",
                    fix="call backward after each forward pass, or switch gradient checkpointing off",
                )
        return self._current

    def _note_pass(self, call: Call) -> None:
        """Find out whether passes with different tokens wait for a backward pass."""
        if self._backward_ran or self._current is None:
            self._backward_ran = self._unclear = False
        elif not call.same_as(self._current):
            self._unclear = True

    def _read(self, given: Mapping[str, Any]) -> Call:
        ids = given.get("input_ids")
        tokens = ids if ids is not None else given["inputs_embeds"]
        width, device = tokens.shape[1], tokens.device
        cache = next((given[name] for name in CACHE_NAMES if given.get(name) is not None), None)
        cached = int(cache.get_seq_length()) if cache is not None else 0
        repeats = not cached and self._goes_on(ids)
        continues = bool(cached) or repeats
        if not continues:
            self._prompts, self._done = (ids if ids is not None else tokens[..., 0]), None
        real = self._real(given.get("attention_mask"), tokens.shape[0], cached, width).to(device)
        generated, answered = self._generated(tokens.shape[0], cached, width, device)
        columns = torch.arange(cached, cached + width, device=device)
        fresh = columns >= self._width if repeats else torch.ones_like(columns, dtype=torch.bool)
        self._width = cached + width
        closes = self._rows is None or self._rows.closes_prompt
        return Call(
            real=real,
            generated=generated,
            prompt_end=_last_of_each_row(real & ~generated) if closes else torch.zeros_like(real),
            fresh=fresh.expand_as(real),
            finished=self._finished(ids, real & generated & ~answered, bool(cached)),
            continues=continues,
        )

    def _real(self, mask: Any, batch: int, cached: int, width: int) -> Tensor:
        """Which tokens are not padding (B, T), by the caller's description as far as it goes."""
        if self._rows is not None and cached + width <= self._rows.attention_mask.shape[1]:
            return self._rows.attention_mask[:, cached : cached + width].bool()
        return _real_tokens(mask, batch, cached, width)

    def _goes_on(self, ids: Tensor | None) -> bool:
        """Whether a pass without a cache is the next step of the generation that the pass before it belongs to."""
        prompts = self._prompts
        if ids is None or prompts is None or prompts.shape[0] != ids.shape[0] or ids.shape[1] != self._width + 1:
            return False
        return torch.equal(ids[:, : prompts.shape[1]], prompts)

    def _generated(self, batch: int, cached: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Which tokens belong to answers (B, T), and which of these were given by the caller."""
        columns = torch.arange(cached, cached + width, device=device)
        given = torch.zeros(batch, width, dtype=torch.bool, device=device)
        if self._rows is None:
            prompt_width = self._prompts.shape[1] if self._prompts is not None and not cached else cached
            return (columns >= prompt_width).expand(batch, width), given
        answers = self._rows.answer_mask.to(device)
        if answers.shape[0] != batch:
            raise ValueError(f"the pass has {batch} rows but its description has {answers.shape[0]}")
        span = self._rows.attention_mask.shape[1]
        # The description covers the columns up to `span`, its answer mask the last of them.
        described = (columns >= span - answers.shape[1]) & (columns < span)
        places = (columns - (span - answers.shape[1])).clamp(0, answers.shape[1] - 1)
        given = answers[:, places] & described
        return given | (columns >= span), given

    def _finished(self, ids: Tensor | None, own: Tensor, cached: bool) -> Tensor:
        """Tokens from the one on that ended a row, among those that the model generated itself (B, T)."""
        stops = self._stop_tokens()
        if ids is None or not stops:
            return torch.zeros_like(own)
        ended = (torch.isin(ids, torch.tensor(stops, device=ids.device)) & own).cumsum(-1) > 0
        if cached and self._done is not None and len(self._done) == len(ended):
            ended = ended | (self._done.unsqueeze(1) & own)
        self._done = ended[:, -1]
        return ended

    def _stop_tokens(self) -> list[int]:
        if self._stops is not None:
            return list(self._stops)
        named = getattr(getattr(self._model, "generation_config", None), "eos_token_id", None)
        return [named] if isinstance(named, int) else list(named or [])


def in_backward() -> bool:
    """Whether a backward pass is running, which under gradient checkpointing calls modules, and their hooks, again."""
    return torch._C._current_graph_task_id() != -1


def _real_tokens(mask: Any, batch: int, cached: int, width: int) -> Tensor:
    """Which of the tokens of a pass are not padding (B, T), from any form of attention mask.

    >>> _real_tokens(torch.tensor([[0, 1, 1], [1, 1, 1]]), 2, cached=1, width=2)
    tensor([[True, True],
            [True, True]])
    """
    if isinstance(mask, Mapping):
        mask = mask.get("full_attention", next(iter(mask.values())))
    if not isinstance(mask, Tensor):
        return torch.ones(batch, width, dtype=torch.bool)
    if mask.dim() == 2:
        return mask[:, cached : cached + width].bool()
    # Made ready for the attention already: (B, 1, T, cached + T or more). The last token attends to every real one.
    seen = mask[:, 0, -1, cached : cached + width]
    seen = seen if seen.dtype == torch.bool else seen == 0
    return seen.expand(batch, width)


def _last_of_each_row(mask: Tensor) -> Tensor:
    """The last true place of each row (B, T); none where a row has none.

    >>> _last_of_each_row(torch.tensor([[True, True, False], [False, False, False]])).int()
    tensor([[0, 1, 0],
            [0, 0, 0]], dtype=torch.int32)
    """
    return mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
