"""Preference pairs without a judge: what the character said, against what others say to the nearest question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

import numpy as np

from annotation.records import Dialogue, Pair, read_records, write_records
from annotation.retrieval import embedder, similarities
from annotation.steps import PAIRS, TEST, TRAIN, Failures, StepFolder, check_budget, kept_answers
from annotation.writers import Job, Writer, Written
from files.errors import InputError
from llm.requests import ChatRequest

Rejected = Literal["other_character", "other_stage", "without_character"]
REJECTED: tuple[Rejected, ...] = get_args(Rejected)


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made.

    Attributes:
        rejected_from: Where rejected answers come from; of those that a conversation has, one is drawn.
        weights: How often each of them is drawn.
        seed: Seed of the draws.
        embeddings: How the nearness of questions is measured.
        max_tokens: Longest answer without the character.
    """

    rejected_from: Sequence[str] = REJECTED
    weights: Sequence[float] = (1.0, 2.0, 1.0)
    seed: int = 1
    embeddings: str = "tfidf"
    max_tokens: int = 512

    def check(self) -> None:
        """Refuse sources that do not exist.

        Raises:
            InputError: A source is unknown, or the weights do not fit.
        """
        unknown = [name for name in self.rejected_from if name not in REJECTED]
        if unknown or not self.rejected_from:
            raise InputError(
                "is no source of rejected answers",
                field="--rejected_from",
                expected=", ".join(REJECTED),
                got=unknown or "none",
            )
        if len(self.weights) < len(self.rejected_from) or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise InputError(
                "does not fit the sources",
                field="--weights",
                expected=f"{len(self.rejected_from)} numbers of 0 or more, not all of them 0",
                got=list(self.weights),
            )


@dataclass(frozen=True)
class _Draft:
    """A conversation with where its rejected answer is to come from, and the answer where it is known."""

    dialogue: Dialogue
    source: str
    rejected: Dialogue | None


def prefer(folder: StepFolder, writer: Writer, settings: PairSettings) -> str:
    """Make a pair of every conversation of `train.jsonl` and `test.jsonl`.

    A rejected answer is that of another character, or of the same character at another stage, to the nearest question
    whose answer differs; or it is written without any character. Test pairs take their rejected answers from the test
    part, so that nothing of it is trained on.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no conversations, a setting is wrong, or the budget is used up.
    """
    settings.check()
    failures, counts, written = Failures(), {}, None
    for part, name in (("train", TRAIN), ("test", TEST)):
        dialogues = list(read_records(folder.file(name), Dialogue, folder.fix(name)))
        drafts = list(_drafts(dialogues, settings, part, failures))
        with kept_answers(folder, "prefer"):
            pairs, written = _pairs(drafts, writer, settings, failures)
        check_budget(written, "prefer")
        if not pairs:
            raise InputError(
                "gives no pair",
                file=folder.file(name),
                expected="several characters or stages, or --rejected_from without_character",
                got=", ".join(
                    [f"{len(dialogues)} conversations", *(f"{n} lost: {why}" for why, n in failures.counts().items())]
                ),
            )
        counts[f"pairs to {part} on"] = write_records(folder.file(PAIRS[part]), pairs)
    return folder.finish("prefer", failures, counts, written)


def nearest_differing(
    dialogues: Sequence[Dialogue], fits: Callable[[Dialogue, Dialogue], bool], embeddings: str = "tfidf"
) -> list[Dialogue | None]:
    """For each conversation the one with the nearest question among those that fit and answer something else.

    Args:
        dialogues: The conversations.
        fits: Whether the second may be set against the first.
        embeddings: How nearness is measured.
    """
    questions = [one.question for one in dialogues]
    embed = embedder(embeddings)
    embed.fit(questions)
    vectors = embed.embed(questions)
    found: list[Dialogue | None] = []
    for start, block in similarities(vectors, vectors):
        for offset, row in enumerate(block):
            one = dialogues[start + offset]
            order = (dialogues[place] for place in np.argsort(-row, kind="stable"))
            found.append(next((other for other in order if fits(one, other) and _differ(one, other)), None))
    return found


def _drafts(dialogues: list[Dialogue], settings: PairSettings, part: str, failures: Failures) -> Iterator[_Draft]:
    fits: dict[str, Callable[[Dialogue, Dialogue], bool]] = {
        "other_character": lambda one, other: other.character != one.character,
        "other_stage": lambda one, other: other.character == one.character and other.stage != one.stage,
    }
    known = {
        source: nearest_differing(dialogues, fits[source], settings.embeddings)
        for source in settings.rejected_from
        if source in fits
    }
    rng = Random(f"{settings.seed}/{part}")  # noqa: S311 - no secret depends on it
    for number, one in enumerate(dialogues):
        possible = [source for source in settings.rejected_from if source not in known or known[source][number]]
        weights = [settings.weights[settings.rejected_from.index(source)] for source in possible]
        if not possible or not sum(weights) > 0:
            failures.add(one.id, "nothing: no other answer to set against this one")
            continue
        source = rng.choices(possible, weights)[0]
        yield _Draft(one, source, known[source][number] if source in known else None)


def _pairs(
    drafts: Sequence[_Draft], writer: Writer, settings: PairSettings, failures: Failures
) -> tuple[list[Pair], Written]:
    """The pairs in order; answers without a character are written here."""
    texts: dict[str, str] = {}
    outside = [draft.dialogue for draft in drafts if draft.rejected is None]
    names = iter([one.id for one in outside])

    def receive(_: Job, text: str | None, reason: str) -> None:
        name = next(names)
        if text is None:
            failures.add(name, reason)
        else:
            texts[name] = text

    jobs = (_outside_job(one, settings) for one in outside)
    written = writer.write(jobs, receive, "answering without the character", len(outside))
    pairs = []
    for draft in drafts:
        one, other = draft.dialogue, draft.rejected
        text = other.answer if other is not None else texts.get(one.id)
        if text is None:
            continue
        if text.strip() == one.answer.strip():
            failures.add(one.id, "equal: the answer without the character is the same")
            continue
        backend = other.backend if other is not None else writer.name
        pairs.append(_pair(one, text, draft.source, backend))
    return pairs, written


def _outside_job(one: Dialogue, settings: PairSettings) -> Job:
    request = ChatRequest([{"role": "user", "content": one.question}], settings.max_tokens, refusals=False)
    return Job("outside", request, one.character or "", one.stage, one.pattern or "ordinary", one.question)


def _pair(one: Dialogue, rejected: str, source: str, backend: str) -> Pair:
    chosen, other = ([{"role": "assistant", "content": text}] for text in (one.answer, rejected))
    prompt = one.messages[:-1]
    return Pair(one.id, prompt, chosen, other, backend, source, one.character, one.stage, one.pattern)


def _differ(one: Dialogue, other: Dialogue) -> bool:
    return one.answer.strip() != other.answer.strip()


def pair_sources(pairs: Iterable[Pair]) -> dict[str, int]:
    """How many rejected answers come from where."""
    counts: dict[str, int] = {}
    for pair in pairs:
        counts[pair.rejected_from] = counts.get(pair.rejected_from, 0) + 1
    return counts
