"""Leaving out questions that say the same, and keeping a part of the rest for testing."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from annotation.records import Dialogue, read_records, write_records
from annotation.retrieval import embedder, similarities
from annotation.steps import ANSWERS, TEST, TRAIN, Failures, StepFolder
from files.errors import InputError

THRESHOLD, TEST_SHARE = 0.95, 0.2


def deduplicate(
    folder: StepFolder,
    threshold: float = THRESHOLD,
    test_share: float = TEST_SHARE,
    seed: int = 1,
    embeddings: str = "tfidf",
    across_stages: bool = False,
) -> str:
    """Drop questions too near to an earlier one, and split the rest into `train.jsonl` and `test.jsonl`.

    Args:
        folder: Where `answers.jsonl` is.
        threshold: A question whose cosine with an earlier one is at least this is left out.
        test_share: Share of every character, stage and pattern that is kept for testing.
        seed: Seed of the split.
        embeddings: How similarity is measured.
        across_stages: Whether a question counts as asked when it was asked at another stage of the same character.

    Deviation: the published code compares over the stages of a character. Here the same question at two stages stays,
        because their answers differ, and that difference is what the stages are told apart by.

    Returns:
        One line for the user.

    Raises:
        InputError: There are no answers, a number is out of range, or one part would be empty.
    """
    check_threshold(threshold)
    if not 0 < test_share < 1:
        raise _out_of_range("--test_share", "more than 0 and below 1", test_share)
    dialogues = list(read_records(folder.file(ANSWERS), Dialogue, folder.fix(ANSWERS)))
    groups: dict[tuple[str | None, str | None], list[Dialogue]] = {}
    for one in dialogues:
        groups.setdefault((one.character, None if across_stages else one.stage), []).append(one)
    kept = [one for group in groups.values() for one in unlike(group, threshold, embeddings)]
    train, test = split(kept, test_share, seed)
    if not train or not test:
        raise InputError(
            "is too little to be split",
            file=folder.file(ANSWERS),
            expected="answers for both parts",
            got=f"{len(train)} to train on and {len(test)} to test on",
            fix="ask more questions",
        )
    counts = {
        "dropped": len(dialogues) - len(kept),
        "to train on": write_records(folder.file(TRAIN), train),
        "to test on": write_records(folder.file(TEST), test),
    }
    return folder.finish("deduplicate", Failures(), counts, None)


def unlike(dialogues: Sequence[Dialogue], threshold: float, embeddings: str = "tfidf") -> list[Dialogue]:
    """The conversations whose question is not too near to that of an earlier one that stays.

    >>> def one(name: str, question: str) -> Dialogue:
    ...     return Dialogue(name, [{"role": "user", "content": question}, {"role": "assistant", "content": "."}], "me")
    >>> said = [one("a", "Where do you live?"), one("b", "where do you live"), one("c", "What is your work?")]
    >>> [kept.id for kept in unlike(said, 0.95)]
    ['a', 'c']
    """
    stays = new_ones([one.question for one in dialogues], threshold, embeddings)
    return [one for one, stay in zip(dialogues, stays, strict=True) if stay]


def new_ones(questions: Sequence[str], threshold: float, embeddings: str = "tfidf") -> list[bool]:
    """Which questions are not too near to an earlier one that is new itself.

    >>> new_ones(["Where do you live?", "where do you live", "What is your work?"], 0.95)
    [True, False, True]
    """
    embed = embedder(embeddings)
    embed.fit(questions)
    vectors = embed.embed(questions)
    stays = [True] * len(questions)
    for start, block in similarities(vectors, vectors):
        near = block >= threshold - 1e-6
        for offset, row in enumerate(near):
            number = start + offset
            stays[number] = not any(stays[earlier] for earlier in row[:number].nonzero()[0])
    return stays


def check_threshold(threshold: float) -> None:
    """Refuse a nearness that no two questions, or all of them, have.

    Raises:
        InputError: It is out of range.
    """
    if not 0 < threshold <= 1:
        raise _out_of_range("--threshold", "more than 0 and up to 1", threshold)


def split(dialogues: Sequence[Dialogue], test_share: float, seed: int) -> tuple[list[Dialogue], list[Dialogue]]:
    """Draw the test part of every character, stage and pattern; both parts keep their order."""
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(dialogues):
        groups.setdefault(f"{one.character}/{one.stage}/{one.pattern}", []).append(number)
    test: set[int] = set()
    for name, numbers in groups.items():
        rng = Random(f"{seed}/{name}")  # noqa: S311 - no secret depends on it
        test.update(rng.sample(numbers, round(test_share * len(numbers))))
    train = [one for number, one in enumerate(dialogues) if number not in test]
    return train, [one for number, one in enumerate(dialogues) if number in test]


def _out_of_range(option: str, expected: str, got: float) -> InputError:
    return InputError("is out of range", field=option, expected=expected, got=got, fix="give a number in this range")
