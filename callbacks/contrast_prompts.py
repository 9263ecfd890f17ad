"""Prompts of opposite kinds: the texts of a contrast set, each pair before the same question."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from files.readers import read_json_lines, require
from lm.chat import Chat
from personas.contrasts import Contrast
from personas.wording import described_by

Role = Literal["system", "user"]


class ContrastPrompts(NamedTuple):
    """Prompts of both sides of a contrast set, pair by pair.

    Attributes:
        positive: Those of its positive side.
        negative: Those of its negative side.
        questions: What is asked in each pair; empty where the texts are prompts by themselves.
    """

    positive: list[Chat]
    negative: list[Chat]
    questions: list[str]

    def plain(self) -> list[Chat]:
        """The questions with nothing before them."""
        return [[{"role": "user", "content": question}] for question in self.questions]


def contrast_prompts(
    contrast: Contrast, questions: Sequence[str], count: int, role: Role, seed: int
) -> ContrastPrompts:
    """Prompts of both sides: the texts of a pair before the same question.

    Args:
        contrast: The pairs.
        questions: What is asked; nothing makes the texts prompts by themselves.
        count: Number of pairs of prompts; fewer where there are no questions and fewer pairs.
        role: Where the texts stand.
        seed: Seed of which question goes with which pair.

    Example:
        >>> calm = Contrast("calm", ("You are calm.",), ("You are wild.",))
        >>> found = contrast_prompts(calm, ["Why?"], 1, "user", 0)
        >>> found.positive[0][0]["content"], found.negative[0][0]["content"], found.questions
        ('You are calm. Why?', 'You are wild. Why?', ['Why?'])
    """
    rng = random.Random(f"{seed}/{contrast.name}")
    pairs = list(zip(contrast.positive, contrast.negative, strict=True))
    rng.shuffle(pairs)
    drawn = rng.sample(list(questions), len(questions))
    numbers = range(count if drawn else min(count, len(pairs)))
    asked = [drawn[number % len(drawn)] for number in numbers] if drawn else []
    positive, negative = (
        [_prompt(pairs[number % len(pairs)][side], asked[number] if asked else None, role) for number in numbers]
        for side in (0, 1)
    )
    return ContrastPrompts(positive, negative, asked)


def read_questions(path: str | None) -> list[str]:
    """Questions of a file of lines with `question`, or of all such files of a folder.

    Raises:
        InputError: There is no such file, or a line has no question.
    """
    return [
        require(record, "question", str, file=file, row=row)
        for file in question_files(path)
        for row, record in read_json_lines(file)
    ]


def question_files(path: str | None) -> list[Path]:
    """The file of questions, or those of a folder; none where there is no path."""
    if path is None:
        return []
    place = Path(path)
    return sorted(place.glob("*.json*")) if place.is_dir() else [place]


def _prompt(text: str, question: str | None, role: str) -> Chat:
    if question is None:
        return [{"role": "user", "content": text}]
    asked: Chat = [{"role": "user", "content": question}]
    if role == "system":
        return described_by(text, asked)
    return [{"role": "user", "content": f"{text} {question}"}]
