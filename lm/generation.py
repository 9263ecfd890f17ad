"""Answers to prompts, in batches whose make-up does not change them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from files.errors import InputError
from lm.chat import Chat, encode_prompts
from lm.growing_cache import growing_cache
from lm.limits import check_length
from lm.passes import CACHE, ForwardRows, Steering, evaluating, padded
from lm.sampling import RowSampler, draw_tokens, row_uniforms
from lm.template import ROLES, answer_separator, closing_token

__all__ = ["NextTurn", "RowSampler", "draw_tokens", "generate", "generate_ids", "stop_tokens", "texts_of"]

_NEXT_TURN = re.compile(r"\n(?:" + "|".join(ROLES) + "):")
Watch = Callable[[Sequence[int], Tensor], None]
"""Sees the numbers of the prompts of a batch (B), and the tokens written after them so far (B, T)."""

# Tokens read back to see a new turn begin, and to decode the first new token as it reads after the prompt.
_LOOK_BACK = 16


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int,
    batch_size: int,
    steering: Steering | None = None,
    cached: bool = True,
) -> list[str]:
    """Let a model answer prompts.

    A text ends at the end-of-turn or end-of-text token, without it; in the plain layout also where a next turn begins.
    Generation settings stored with a model (repetition penalties and the like) are not used: what is measured is the
    model.

    Prompts are computed in order of length. Every row draws its own random numbers, from the seed, its prompt and how
    often that prompt came before in the list; so neither the batch size nor the other prompts change a text beyond
    rounding, and the program's random state is left alone.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompts: Chats; one that ends with an assistant message is continued inside it.
        max_new_tokens: Most tokens of one answer.
        temperature: 0 takes the likeliest token, higher values sample.
        top_p: Sample from the smallest set of likeliest tokens with at least this probability.
        seed: Seed of the sampling.
        batch_size: Most rows computed at once.
        steering: What steers each prompt; its keys are in the order of the prompts.
        cached: Keep the states of what was read; else read everything anew for every token.

    Returns:
        The new text of each prompt, in the order of the prompts.

    Raises:
        InputError: A chat is malformed, an option out of range, or a prompt with its answer longer than the model can
            read.
    """
    encoded = encode_prompts(tokenizer, prompts)
    written = generate_ids(
        model,
        tokenizer,
        encoded,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        batch_size=batch_size,
        steering=steering,
        cached=cached,
    )
    return texts_of(model, tokenizer, encoded, written, prompts)


def generate_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence[list[int]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int,
    batch_size: int,
    steering: Steering | None = None,
    cached: bool = True,
    watch: Watch | None = None,
) -> list[list[int]]:
    """The tokens a model writes after prompts, as in `generate`, up to and with the token that ends a text.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        encoded: Token ids of each prompt.
        max_new_tokens: Most tokens of one answer.
        temperature: 0 takes the likeliest token, higher values sample.
        top_p: Sample from the smallest set of likeliest tokens with at least this probability.
        seed: Seed of the sampling.
        batch_size: Most rows computed at once.
        steering: What steers each prompt; its keys are in the order of the prompts.
        cached: Keep the states of what was read; else read everything anew for every token.
        watch: Called after every token of a batch; what it raises ends the generation.

    Returns:
        The new ids of each prompt; the last one ends the text unless it was cut off at its longest.

    Raises:
        InputError: An option is out of range, or a prompt with its answer longer than the model can read.
    """
    _check_options(max_new_tokens, temperature, top_p, batch_size)
    if steering is not None:
        steering.check(len(encoded))
    check_length(model, max(map(len, encoded), default=0) + max_new_tokens, "a prompt with its answer")
    uniforms = row_uniforms(encoded, max_new_tokens, seed)
    written: list[list[int]] = [[] for _ in encoded]
    # Without drawing, the same prompt under the same steering is answered alike: it is answered once.
    same = _same_rows(encoded, steering) if temperature == 0 and watch is None else list(range(len(encoded)))
    order = sorted(dict.fromkeys(same), key=lambda row: (len(encoded[row]), row))
    stops = stop_tokens(model, tokenizer)
    with evaluating(model), _own_settings(model, tokenizer, max_new_tokens, cached) as inner:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = padded([encoded[row] for row in rows], "left", model.device)
            watched: list[StoppingCriteria] = [] if watch is None else [_Watched(watch, rows, ids.shape[1])]
            sampler = RowSampler(uniforms[rows].to(model.device), ids.shape[1], temperature, top_p)
            with _steered(steering, rows, mask):
                output = inner.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    **({CACHE: growing_cache(inner)} if cached else {}),
                    logits_processor=LogitsProcessorList([sampler] if temperature > 0 else []),
                    stopping_criteria=StoppingCriteriaList(
                        [*watched, *([NextTurn(tokenizer, ids.shape[1])] if tokenizer.chat_template is None else [])]
                    ),
                )
            for row, new in zip(rows, output[:, ids.shape[1] :].tolist(), strict=True):
                written[row] = up_to_stop(new, stops)
    return [list(written[row]) for row in same]


def _same_rows(encoded: Sequence[list[int]], steering: Steering | None) -> list[int]:
    """For each prompt the first one that is the same and steered alike."""
    firsts: dict[tuple[int, tuple[int, ...]], int] = {}
    keys = steering.keys if steering is not None else [0] * len(encoded)
    return [firsts.setdefault((keys[row], tuple(ids)), row) for row, ids in enumerate(encoded)]


def up_to_stop(new: list[int], stops: Sequence[int]) -> list[int]:
    """New tokens up to and with the one that ends their text.

    >>> up_to_stop([5, 6, 2, 0], [2])
    [5, 6, 2]
    """
    return new[: next((place + 1 for place, token in enumerate(new) if token in stops), len(new))]


def texts_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence[list[int]],
    written: Sequence[list[int]],
    prompts: Sequence[Chat],
) -> list[str]:
    """What was written as text, without the token that ended it.

    Args:
        model: The model that wrote it.
        tokenizer: Its tokenizer.
        encoded: Token ids of each prompt.
        written: What `generate_ids` returned for them.
        prompts: The prompts.
    """
    stops = set(stop_tokens(model, tokenizer))
    texts = []
    for before, new, chat in zip(encoded, written, prompts, strict=True):
        kept = new[:-1] if new and new[-1] in stops else new
        texts.append(_text(tokenizer, before, kept, chat))
    return texts


class NextTurn(StoppingCriteria):
    """Ends a row where its answer goes on to another speaker's turn (layouts without an end-of-turn token).

    Args:
        tokenizer: Decodes the rows.
        prompt_width: Width of the prompts, where the answers begin.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt_width: int) -> None:
        self.tokenizer = tokenizer
        self.prompt_width = prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Which rows are done (B,)."""
        recent = input_ids[:, max(self.prompt_width, input_ids.shape[1] - _LOOK_BACK) :]
        done = [_NEXT_TURN.search(self.tokenizer.decode(ids)) is not None for ids in recent.tolist()]
        return torch.tensor(done, device=input_ids.device)


class _Watched(StoppingCriteria):
    """Shows what was written so far; ends nothing."""

    def __init__(self, watch: Watch, rows: Sequence[int], prompt_width: int) -> None:
        self.watch = watch
        self.rows = rows
        self.prompt_width = prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        self.watch(self.rows, input_ids[:, self.prompt_width :])
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _check_options(max_new_tokens: int, temperature: float, top_p: float, batch_size: int) -> None:
    for name, value, fits, expected in (
        ("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "1 or more"),
        ("temperature", temperature, temperature >= 0, "0 or more"),
        ("top_p", top_p, 0 < top_p <= 1, "more than 0 and at most 1"),
        ("batch_size", batch_size, batch_size >= 1, "1 or more"),
    ):
        if not fits:
            raise InputError("option out of range", field=name, expected=expected, got=value)


@contextmanager
def _own_settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, cached: bool
) -> Iterator[PreTrainedModel]:
    """Put our generation settings in the place of the model's; any passed to `generate` would be mixed with those."""
    # An adapted model is generated from beneath its wrapper, which would copy the settings around.
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    stored = inner.generation_config
    pad = tokenizer.pad_token_id
    try:
        inner.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=cached,
            eos_token_id=stop_tokens(inner, tokenizer) or None,
            pad_token_id=0 if pad is None else pad,
        )
        yield inner
    finally:
        inner.generation_config = stored


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a text: those the model and the tokenizer name, and the one the layout ends a turn with."""
    stored = model.generation_config.eos_token_id if model.generation_config is not None else None
    stops = {*([stored] if isinstance(stored, int) else stored or [])}
    if tokenizer.eos_token_id is not None:
        stops.add(tokenizer.eos_token_id)
    if closing_token(tokenizer):
        stops.add(tokenizer.convert_tokens_to_ids(closing_token(tokenizer)))
    return sorted(stops)


def _steered(steering: Steering | None, rows: list[int], mask: Tensor) -> AbstractContextManager[object]:
    """The steering of one batch, for all its steps."""
    if steering is None:
        return nullcontext()
    keys = torch.tensor([steering.keys[row] for row in rows], device=mask.device)
    return steering.enter(ForwardRows(keys, mask, torch.zeros_like(mask, dtype=torch.bool)))


def _text(tokenizer: PreTrainedTokenizerBase, prompt: list[int], new: list[int], chat: Chat) -> str:
    """The new tokens as text, as they read after the prompt, up to the end of the turn."""
    context = prompt[-_LOOK_BACK:]
    before = tokenizer.decode(context, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    both = tokenizer.decode([*context, *new], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    text = both[len(before) :] if both.startswith(before) else tokenizer.decode(new, skip_special_tokens=True)
    if tokenizer.chat_template is None:
        text = _NEXT_TURN.split(text, maxsplit=1)[0]
    opened = chat[-1]["role"] == "assistant"
    return text if opened else text.removeprefix(answer_separator(tokenizer))
