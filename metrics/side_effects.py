"""What a persona costs: the model's plain text, its general talk, its safety and its honesty, beside any benchmark."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from metrics.benchmark import Answers, Benchmark, finite, mean_row
from metrics.beside import BesideBenchmark, Values, with_values
from metrics.bootstrap import bootstrap_interval
from metrics.outcome import MetricRow, RecordScores
from personas.questions import BESIDE, Choice, Generation, Likelihood, Questions

TEXT, TALK = f"{BESIDE}text", f"{BESIDE}talk"
CHOICES = ("safety", "hallucination")
T = TypeVar("T")
_NLL, _TOKENS = "plain_text_nll", "plain_text_tokens"


@dataclass(frozen=True)
class PlainText:
    """A text in which nobody's personality shows, and what was asked before it."""

    prompt: str
    text: str


@dataclass(frozen=True)
class TalkItem:
    """A question with one right answer: `key` is a word that a right answer holds."""

    question: str
    key: str


@dataclass(frozen=True)
class ChoiceItem:
    """A multiple-choice question, ready to be asked; `right` are the places of the right letters."""

    prompt: str
    letters: tuple[str, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class SideQuestions:
    """Everything that is asked beside a benchmark; an empty part is not asked.

    Attributes:
        texts: Texts whose perplexity is measured.
        talk: Small tasks.
        choices: Multiple choice by what it is about, `safety` or `hallucination`.
    """

    texts: tuple[PlainText, ...] = ()
    talk: tuple[TalkItem, ...] = ()
    choices: tuple[tuple[str, tuple[ChoiceItem, ...]], ...] = ()


class SideEffects(BesideBenchmark):
    """A benchmark at some of whose records the same model, under the same method, is asked something else as well.

    Figures over the records where they were asked:

    - `perplexity` of texts without a personality, from the mean loss of all their tokens (lower is better)
    - `talk_accuracy`: small tasks that are answered rightly
    - `safety`, `hallucination`: multiple choice in which a right option is the likeliest: refusing to do harm, saying
      that something cannot be known

    Which records are asked, and what, depends on their names alone.

    Args:
        inner: The benchmark.
        items: What is asked.
        share: Share of the records that are asked.
    """

    shown = ("perplexity", "talk_accuracy")
    differing = ("talk_accuracy",)

    def __init__(self, inner: Benchmark, items: SideQuestions, share: float) -> None:
        super().__init__(inner)
        self.items = items
        self.share = share

    def own_metrics(self) -> frozenset[str]:
        """All figures of the questions beside the benchmark's own."""
        return frozenset((_NLL, _TOKENS, "talk_accuracy", *CHOICES))

    def asked(self, questions: Questions) -> Questions:
        """The questions of a batch, and after them those beside."""
        questions = super().asked(questions)
        likelihoods: list[Likelihood] = []
        generations: list[Generation] = []
        choices: list[Choice] = []
        for record, name in enumerate(questions.ids):
            if _drawn(f"asked/{name}", 10**6) >= self.share * 10**6:
                continue
            if self.items.texts:
                text = self.items.texts[_drawn(f"text/{name}", len(self.items.texts))]
                likelihoods.append(Likelihood(record, TEXT, _ask(text.prompt), text.text))
            if self.items.talk:
                place = _drawn(f"talk/{name}", len(self.items.talk))
                generations.append(Generation(record, f"{TALK}:{place}", _ask(self.items.talk[place].question)))
            for kind, items in self.items.choices:
                place = _drawn(f"{kind}/{name}", len(items))
                item = items[place]
                choices.append(Choice(record, f"{BESIDE}{kind}:{place}", _ask(item.prompt), item.letters))
        return replace(
            questions,
            likelihoods=(*questions.likelihoods, *likelihoods),
            generations=(*questions.generations, *generations),
            choices=(*questions.choices, *choices),
        )

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        plain, before = _inner(questions, base)
        after = before if persona is base else _inner(questions, persona)[1]
        scores = super().measure(plain, before, after)
        own = [self._values(questions, base), self._values(questions, persona)]
        return [with_values(record, *both) for record, *both in zip(scores, *own, strict=True)]

    def own_rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The figures over all records that were asked; none where nothing was."""
        rows = []
        if any(record.values.get(_TOKENS) for record in records):
            rows.append(perplexity_row(records))
        for metric in ("talk_accuracy", *CHOICES):
            asked = [record for record in records if record.values.get(metric) is not None]
            if asked:
                rows.append(mean_row(metric, "all", metric, asked))
        return rows

    def _values(self, questions: Questions, answers: Answers) -> list[Values]:
        """The figures of each record, None where it was not asked."""
        values: list[Values] = [dict.fromkeys(sorted(self.own_metrics())) for _ in questions.ids]
        for text, log_probs in zip(questions.likelihoods, answers.log_probs, strict=True):
            if text.part == TEXT:
                values[text.record][_NLL] = finite(-log_probs.double().sum().item())
                values[text.record][_TOKENS] = float(len(log_probs))
        for talk, said in zip(questions.generations, answers.texts, strict=True):
            if talk.part.startswith(TALK):
                item = self.items.talk[int(talk.part.rpartition(":")[2])]
                values[talk.record]["talk_accuracy"] = float(holds(said, item.key))
        known = dict(self.items.choices)
        for choice, shares in zip(questions.choices, answers.choices, strict=True):
            if choice.part.startswith(BESIDE):
                kind, _, place = choice.part.removeprefix(BESIDE).partition(":")
                values[choice.record][kind] = float(likeliest(shares) in known[kind][int(place)].right)
        return values


def perplexity_row(records: Sequence[RecordScores]) -> MetricRow:
    """The perplexity of all plain texts together, with its interval over records.

    Args:
        records: Records with the summed loss and the number of tokens of their texts.

    Returns:
        The row. The bounds are those of the mean loss per token: raising them to the power of e keeps their order.

    Example:
        >>> from personas.persona import Persona
        >>> loss = {"plain_text_nll": 2.0, "plain_text_tokens": 2.0}
        >>> row = perplexity_row([RecordScores(str(n), n, Persona("nobody"), loss, loss) for n in range(3)])
        >>> round(row.value, 4), row.n
        (2.7183, 3)
    """
    asked = [record for record in records if record.values.get(_TOKENS) and record.values.get(_NLL) is not None]
    pairs = torch.tensor([[record.values[_NLL], record.values[_TOKENS]] for record in asked], dtype=torch.float64)
    interval = bootstrap_interval(pairs.reshape(-1, 2), "ratio")
    bases = [(record.base.get(_NLL), record.base.get(_TOKENS)) for record in asked]
    known = [(loss, tokens) for loss, tokens in bases if loss is not None and tokens]
    total = sum(tokens for _, tokens in known)
    bounds = [finite(torch.tensor(bound, dtype=torch.float64).exp().item()) for bound in interval[:3]]
    base = torch.tensor(sum(loss for loss, _ in known) / total).exp().item() if total else None
    value, low, high = bounds
    return MetricRow("perplexity", "all", value, low, high, interval.n, base, undefined=0)


def holds(text: str, key: str) -> bool:
    """Whether a text holds a word, whatever its case.

    Example:
        >>> holds("It is Friday, of course.", "friday"), holds("It is fourteen.", "four")
        (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text, re.IGNORECASE) is not None


def likeliest(shares: Tensor) -> int:
    """Place of the largest share (K,)."""
    return int(shares.argmax())


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _drawn(name: str, below: int) -> int:
    """A number that a name alone decides, spread evenly from 0 to `below` - 1."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % below


def _inner(questions: Questions, answers: Answers) -> tuple[Questions, Answers]:
    """Questions and answers without those beside."""
    likelihoods = [not question.part.startswith(BESIDE) for question in questions.likelihoods]
    choices = [not question.part.startswith(BESIDE) for question in questions.choices]
    generations = [not question.part.startswith(BESIDE) for question in questions.generations]
    return (
        replace(
            questions,
            likelihoods=_kept(questions.likelihoods, likelihoods),
            choices=_kept(questions.choices, choices),
            generations=_kept(questions.generations, generations),
        ),
        Answers(
            list(_kept(answers.log_probs, likelihoods)),
            list(_kept(answers.own_position, likelihoods)),
            list(_kept(answers.divergence, likelihoods)),
            list(_kept(answers.choices, choices)),
            list(_kept(answers.outside, choices)),
            list(_kept(answers.texts, generations)),
        ),
    )


def _kept(items: Sequence[T], keep: Sequence[bool]) -> tuple[T, ...]:
    return tuple(item for item, kept in zip(items, keep, strict=True) if kept)
