"""The likelihood of given texts after prompts: of one continuation each, or of several options to choose from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from lm.chat import Chat, encode_continuations
from lm.passes import Side, Steering
from lm.plain_scores import score_whole_rows
from lm.prefix import common_length
from lm.token_scores import Item, can_share_prompts, score_items

Mode = Literal["auto", "first", "full"]
"""How options are compared: by one token where that tells them apart, always by one token, or as a whole."""


@dataclass
class LogLikelihood:
    """How likely each continuation is after its prompt.

    Attributes:
        total: Log-likelihood of the whole continuation (N,), float32 on the CPU.
        tokens: Its number of tokens (N,).
        per_token: For each continuation the log-likelihood of each of its tokens.
    """

    total: Tensor
    tokens: Tensor
    per_token: list[Tensor]


@dataclass
class Choices:
    """How likely each option is after its prompt; K is the largest number of options.

    Attributes:
        probabilities: Share of each option among the options of its prompt (N, K); 0 where a prompt has fewer.
        log_probs: Log-probability of what tells each option apart (N, K); -inf where a prompt has fewer.
        mass_outside: Probability of anything but the options (N,).
    """

    probabilities: Tensor
    log_probs: Tensor
    mass_outside: Tensor


def log_likelihood(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    continuations: Sequence[str],
    *,
    batch_size: int,
    steering: Steering | None = None,
    cached: bool = True,
    side: Side = "left",
) -> LogLikelihood:
    """How likely a model finds each continuation after its prompt.

    Equal prompts and long common beginnings are computed once. Neither the order nor the batch size changes a result
    beyond rounding.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompts: Chats; one that ends with an assistant message is continued inside it.
        continuations: One text per prompt; its end-of-turn token is not scored.
        batch_size: Most rows computed at once.
        steering: What steers each prompt; its keys are in the order of the prompts.
        cached: Compute each prompt once for all that follows it; else read each continuation with its whole prompt.
        side: Where shorter rows are filled up, if nothing is cached; what follows a cached prompt must join it.

    Raises:
        InputError: A chat is malformed, a continuation empty, or a text longer than the model can read.
    """
    encoded = encode_continuations(tokenizer, prompts, [[text] for text in continuations])
    keys = _keys(steering, len(prompts))
    items: dict[tuple[int, tuple[int, ...]], Item] = {}
    places = []
    for (prompt, [continuation]), key in zip(encoded, keys, strict=True):
        item = items.setdefault((key, tuple(prompt)), Item(prompt, key, []))
        if continuation not in item.continuations:
            item.continuations.append(continuation)
        places.append((item, item.continuations.index(continuation)))
    ordered = list(items.values())
    scores = dict(zip(map(id, ordered), _scored(model, ordered, batch_size, [steering], cached, side), strict=True))
    per_token = [scores[id(item)][place] for item, place in places]
    return LogLikelihood(
        total=torch.tensor([float(scores.sum()) for scores in per_token]),
        tokens=torch.tensor([len(scores) for scores in per_token], dtype=torch.long),
        per_token=per_token,
    )


def choose(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    options: Sequence[Sequence[str]],
    *,
    batch_size: int,
    mode: Mode = "auto",
    steering: Steering | None = None,
    cached: bool = True,
    side: Side = "left",
) -> Choices:
    """How likely a model finds each of several options after a prompt.

    Tokens that all options of a prompt begin with are read as part of the prompt. Where the options then differ in
    their next token, that token alone is compared, in one pass over the prompts; otherwise their whole continuations
    are. Equal prompts that are steered alike are computed once.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompts: Chats; one that ends with an assistant message is continued inside it.
        options: For each prompt its options, such as letters or answers.
        batch_size: Most rows computed at once.
        mode: `first` compares next tokens and refuses options that share them, `full` always compares whole options.
        steering: What steers each prompt; its keys are in the order of the prompts.
        cached: As in `log_likelihood`.
        side: As in `log_likelihood`.

    Raises:
        InputError: A prompt has no options or two equal ones, a text is longer than the model can read, or `first` was
            asked for and does not tell the options apart.
    """
    return choose_each(
        model, tokenizer, prompts, options, [steering], batch_size=batch_size, mode=mode, cached=cached, side=side
    )[0]


def choose_each(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Chat],
    options: Sequence[Sequence[str]],
    steerings: Sequence[Steering | None],
    *,
    batch_size: int,
    mode: Mode = "auto",
    cached: bool = True,
    side: Side = "left",
) -> list[Choices]:
    """As `choose` under each of several steerings; what they leave alone of the prompts is computed once for all.

    Args:
        model: As in `choose`.
        tokenizer: As in `choose`.
        prompts: As in `choose`.
        options: As in `choose`.
        steerings: What steers the prompts; None leaves the model as it is.
        batch_size: As in `choose`.
        mode: As in `choose`.
        cached: As in `choose`.
        side: As in `choose`.

    Raises:
        InputError: As in `choose`.
    """
    if len(prompts) != len(options):
        raise InputError("prompts and options differ in number", expected=f"{len(prompts)} lists", got=len(options))
    keys = [_keys(steering, len(prompts)) for steering in steerings]
    numbers, texts = _distinct(tokenizer, prompts, options)
    places: dict[tuple[int, int, int], int] = {}
    rows = [
        [places.setdefault((by, key, number), len(places)) for key, number in zip(of_steering, numbers, strict=True)]
        for by, of_steering in enumerate(keys)
    ]
    items = [_choice(*texts[number], key, mode, by) for by, key, number in places]
    if cached and can_share_prompts(steerings):
        scores = _scored(model, items, batch_size, steerings, cached, side)
    else:
        scores = []
        for by, steering in enumerate(steerings):
            own = [replace(item, by=0) for item in items if item.by == by]
            scores += _scored(model, own, batch_size, [steering], cached, side)
    width = max((len(item.continuations) for item in items), default=0)
    log_probs = torch.full((len(items), width), -torch.inf)
    for row, of_options in enumerate(scores):
        log_probs[row, : len(of_options)] = torch.stack([of_tokens.sum() for of_tokens in of_options])
    return [
        Choices(
            probabilities=log_probs[of_steering].softmax(-1),
            log_probs=log_probs[of_steering],
            mass_outside=(1 - log_probs[of_steering].exp().sum(-1)).clamp(min=0),
        )
        for of_steering in rows
    ]


def _distinct(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Chat], options: Sequence[Sequence[str]]
) -> tuple[list[int], list[tuple[int, list[int], list[list[int]]]]]:
    """For each prompt the number of its text, and the texts: their first row, and token ids of prompt and options.

    A questionnaire is put to many people in the same words: each prompt is cut into tokens once.
    """
    known: dict[tuple[tuple[Hashable, ...], tuple[str, ...]], int] = {}
    numbers, firsts = [], []
    for row, (chat, of_prompt) in enumerate(zip(prompts, options, strict=True)):
        name = (_name(chat), tuple(of_prompt))
        if name not in known:
            firsts.append(row)
        numbers.append(known.setdefault(name, len(known)))
    encoded = encode_continuations(tokenizer, [prompts[row] for row in firsts], [options[row] for row in firsts])
    return numbers, [(row, *ids) for row, ids in zip(firsts, encoded, strict=True)]


def _scored(
    model: PreTrainedModel,
    items: Sequence[Item],
    batch_size: int,
    steerings: Sequence[Steering | None],
    cached: bool,
    side: Side,
) -> list[list[Tensor]]:
    if cached:
        return score_items(model, items, batch_size, steerings)
    return score_whole_rows(model, items, batch_size, steerings[0], side)


def _keys(steering: Steering | None, prompts: int) -> Sequence[int]:
    if steering is None:
        return [0] * prompts
    steering.check(prompts)
    return steering.keys


def _name(chat: Chat) -> tuple[Hashable, ...]:
    """What tells prompts apart; anything, for a chat that is malformed and will be refused."""
    return tuple((message.get("role"), str(message.get("content"))) for message in chat)


def _choice(number: int, prompt: list[int], options: list[list[int]], key: int, mode: Mode, by: int) -> Item:
    """One prompt's options, cut down to the tokens that need to be scored."""
    place = f"prompt {number}"
    if not options:
        raise InputError("a prompt without options", row=place, expected="at least one option", got=options)
    if len({tuple(ids) for ids in options}) < len(options):
        raise InputError("two options of a prompt are the same text", row=place, fix="remove one of them")
    if mode == "full":
        return Item(prompt, key, options, by)
    shared = min(common_length(options[0], ids) for ids in options)
    ends = [ids[shared : shared + 1] for ids in options]
    tells_apart = all(ends) and len({tuple(end) for end in ends}) == len(ends)
    if tells_apart:
        return Item(prompt + options[0][:shared], key, ends, by)
    if len(options) == 1 or mode == "auto":
        return Item(prompt, key, options, by)
    raise InputError(
        "the options of a prompt do not differ in one token", row=place, field="mode", got=mode, fix="use mode full"
    )
