"""Runs tasks of lm-evaluation-harness on a persona: a model under a prompt, an intervention, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from interventions.applied import applied
from lm.chat import encode_continuations
from lm.generation import generate
from lm.limits import check_length
from lm.passes import ForwardRows, Steering, evaluating, padded
from personas.persona import Persona
from personas.questions import Generation, Questions

DEFAULT_NEW_TOKENS = 256


class Request(Protocol):
    """One request of the harness.

    Attributes:
        args: Context and continuation, context and options of generation, or a text.
    """

    args: tuple[Any, ...]


@dataclass
class OnePersona:
    """What a method sees where there is no evaluation: a model, and one persona.

    Attributes:
        lm: The language model.
        tokenizer: Its tokenizer.
        trained: A trained method, for callbacks that need one.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    trained: Any = None

    def adopt(self, name: str, settings: Mapping[str, Any], baseline: bool = False) -> None:
        """Nothing is recorded here."""

    def is_done(self, batch: Any, method: str | None = None) -> bool:
        """Nothing is kept here."""
        return False

    def steer(self, intervention: Any, questions: Any, method: str | None = None) -> None:
        """The persona asks the method by itself."""

    def release(self) -> None:
        """There is no plan to forget."""


@dataclass(frozen=True)
class _Asked:
    """A batch of one record."""

    questions: Questions


@dataclass
class PersonaModel:
    """Answers the harness's requests as one persona; contexts are user turns, continuations the assistant's.

    Attributes:
        lm: The language model.
        tokenizer: Its tokenizer.
        persona: Whom to speak as.
        method: How; None for the model as it is. It must have been fitted (`fitted`).
        batch_size: Most rows computed at once.
        seed: Seed of sampling.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    persona: Persona = field(default_factory=lambda: Persona("nobody"))
    method: SteeringCallback | None = None
    batch_size: int = 16
    seed: int = 0

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation after its context, and whether it is what greedy decoding would say."""
        asked = self._asked([str(request.args[0]) for request in requests])
        prompts = [question.prompt for question in asked.generations]
        # The harness puts the space between words into the continuation; an answer of the assistant begins without.
        continuations = [[str(request.args[1]).lstrip(" ") or " "] for request in requests]
        encoded = encode_continuations(self.tokenizer, prompts, continuations)
        rows = [(prompt, continuation) for prompt, [continuation] in encoded]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row][0]) - len(rows[row][1]))
        found: list[tuple[float, bool]] = [(0.0, False)] * len(rows)
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            scored = self._scored([rows[place] for place in places], self._steering(asked, len(places)))
            for place, one in zip(places, scored, strict=True):
                found[place] = one
        return found

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """Log-likelihood of whole texts, cut into pieces that fit the model; no prompt stands before them."""
        ends = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id]
        first = next(token for token in ends if token is not None)
        longest = int(getattr(self.lm.config, "max_position_embeddings", 2048)) - 1
        found = []
        for request in requests:
            ids = self.tokenizer(str(request.args[0]), add_special_tokens=False)["input_ids"]
            total = 0.0
            for start in range(0, len(ids), longest):
                before = [first] if start == 0 else [ids[start - 1]]
                piece = (before, ids[start : start + longest])
                total += self._scored([piece], self._steering(self._asked([""]), 1))[0][0]
            found.append(total)
        return found

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """Answers, each cut off before the first of its stop texts."""
        texts = [""] * len(requests)
        alike: dict[tuple[int, float, float], list[int]] = {}
        for place, request in enumerate(requests):
            alike.setdefault(_sampling(request.args[1]), []).append(place)
        for (tokens, temperature, top_p), places in alike.items():
            asked = self._asked([str(requests[place].args[0]) for place in places])
            answers = generate(
                self.lm,
                self.tokenizer,
                [question.prompt for question in asked.generations],
                max_new_tokens=tokens,
                temperature=temperature,
                top_p=top_p,
                seed=self.seed,
                batch_size=self.batch_size,
                steering=self._steering(asked, len(places)),
            )
            for place, answer in zip(places, answers, strict=True):
                texts[place] = _cut(answer, requests[place].args[1])
        return texts

    def _asked(self, contexts: Sequence[str]) -> Questions:
        """The contexts as questions to the persona, rewritten by its method."""
        turns = [Generation(0, "harness", [{"role": "user", "content": text or " "}]) for text in contexts]
        questions = Questions(("harness",), (0,), (self.persona,), generations=tuple(turns))
        rewritten = self.method.rewrite(_Asked(questions)) if self.method is not None else None
        return rewritten or questions

    def _steering(self, asked: Questions, prompts: int) -> Steering | None:
        intervention = self.method.intervene(_Asked(asked)) if self.method is not None else None
        if intervention is None:
            return None
        edit: RowIntervention = intervention
        return Steering(lambda rows: applied(self.lm, edit.for_pass(rows)), [0] * prompts)

    def _scored(
        self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], steering: Steering | None
    ) -> list[tuple[float, bool]]:
        """Log-likelihood of the second part of each row after the first, and whether it is the likeliest throughout."""
        ids, mask = padded([[*prompt, *continuation] for prompt, continuation in rows], "right", self.lm.device)
        check_length(self.lm, ids.shape[1], "a context with its continuation")
        answers = torch.zeros_like(mask, dtype=torch.bool)
        for row, (prompt, continuation) in enumerate(rows):
            answers[row, len(prompt) : len(prompt) + len(continuation)] = True
        keys = torch.zeros(len(rows), dtype=torch.long, device=ids.device)
        entered = steering.enter(ForwardRows(keys, mask, answers)) if steering is not None else nullcontext()
        with evaluating(self.lm), entered:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            logits = self.lm(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        log_probs, greedy = _next_tokens(logits, ids)
        counted = answers[:, 1:]
        totals = (log_probs * counted).sum(-1).tolist()
        likeliest = (greedy | ~counted).all(-1).tolist()
        return list(zip(totals, likeliest, strict=True))


def _next_tokens(logits: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of every next token (B, T-1), and whether it is the likeliest one."""
    log_probs = logits[:, :-1].float().log_softmax(-1)
    following = ids[:, 1:]
    return log_probs.gather(-1, following[..., None])[..., 0], log_probs.argmax(-1) == following


def fitted(method: SteeringCallback, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> SteeringCallback:
    """A method that has learnt or loaded what it needs, outside of an evaluation."""
    method.evaluation = OnePersona(lm, tokenizer)
    method.fit()
    return method


def harness_model(persona: PersonaModel) -> Any:
    """A persona as a model of lm-evaluation-harness, for `lm_eval.simple_evaluate(model=...)`.

    Args:
        persona: Who answers.

    Returns:
        An object of the library's class `LM`.

    Raises:
        InputError: The library is not installed.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError as error:
        raise InputError(
            "lm-evaluation-harness is not installed",
            field="harness",
            expected="the package lm-eval",
            fix='pip install "oceantune[harness]"',
        ) from error

    class HarnessModel(LM):
        """Passes requests on; `disable_tqdm` is the library's, and there is no bar here."""

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:  # noqa: ARG002
            return persona.loglikelihood(requests)

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002
            return persona.loglikelihood_rolling(requests)

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
            return persona.generate_until(requests)

    return HarnessModel()


def _sampling(options: Mapping[str, Any]) -> tuple[int, float, float]:
    """Number of tokens, temperature and top_p that a request asks for."""
    tokens = int(options.get("max_gen_toks", options.get("max_new_tokens", DEFAULT_NEW_TOKENS)))
    drawn = bool(options.get("do_sample", False))
    return tokens, float(options.get("temperature", 1.0)) if drawn else 0.0, float(options.get("top_p", 1.0))


def _cut(text: str, options: Mapping[str, Any]) -> str:
    """A text up to the first of its stop texts.

    Example:
        >>> _cut("Four. Question: five?", {"until": ["Question:", "stop"]})
        'Four. '
    """
    until = options.get("until") or ()
    stops: Iterable[str] = [until] if isinstance(until, str) else until
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text
