"""What one person answered to the items that describe them, as pairs to prefer by and as prompts to be rewarded on.

The items that a person is scored on are never trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from datamodules.base import ChatDataModule, ResumableLoader, check_sizes
from datamodules.chat_records import Pair
from datamodules.papi import PapiDataModule
from datamodules.preferences import encode_pairs
from datamodules.prompts import Prompt, prompt_loader
from files.errors import InputError
from lm.loading import LMSpec
from lm.preferences import EncodedPair, PreferenceBatch, preference_batch
from personas.questionnaire import MISSING, Item
from personas.wording import OPTION_LETTERS, Wording

_LONGEST = 1 << 20


class _Person:
    """One person of a table, and the items they answered to describe themselves."""

    def __init__(self, lm: LMSpec, data_dir: str, person: int, wording: Wording | None) -> None:
        self.data = PapiDataModule(lm, data_dir, people=person + 1, wording=wording)
        self.place = person

    @cached_property
    def answered(self) -> list[tuple[Item, int]]:
        """The items that describe the person, with the answers from 1 to 5; missing ones are left out."""
        if self.place < 0:
            raise InputError("is no place", field="--data.init_args.person", expected="0 or more", got=self.place)
        self.data.setup("fit")
        if self.place >= len(self.data.people):
            raise InputError(
                "there are not so many people",
                file=self.data.data_dir,
                field="--data.init_args.person",
                expected=f"0 to {len(self.data.people) - 1}",
                got=self.place,
                fix="name another person",
            )
        items, person = self.data.questionnaire.described, self.data.people[self.place]
        answers = person.described(self.data.questionnaire)
        kept = [(item, answer) for item, answer in zip(items, answers, strict=True) if answer != MISSING]
        if not kept:
            raise InputError(
                "the person answered none of the items that describe",
                file=self.data.data_dir,
                field="--data.init_args.person",
                got=self.place,
                fix="name another person",
            )
        return kept

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the training depends on."""
        return {**self.data.settings(), "person": self.place}


class PapiPairDataModule(ChatDataModule):
    """Pairs of options: the one a person chose is preferred to the others.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the files, as for datamodules.papi.PapiDataModule.
        person: Place of the person in the table, from 0.
        others: How many of the other four options each item is paired with, drawn at random.
        batch_size: Pairs per batch and process.
        wording: The words around the items; by default those the built-in model has learnt.
        seed: Seed of the order and of what is drawn.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.

    Attributes:
        pairs: The encoded pairs, from `setup` on.
    """

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        person: int = 0,
        others: int = 4,
        batch_size: int = 16,
        wording: Wording | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.person = _Person(lm, data_dir, person, wording)
        self.others = others
        self.pairs: dict[str, list[EncodedPair]] = {}

    def setup(self, stage: str) -> None:  # noqa: ARG002 - there is one stage only
        """Read the person's answers and pair them.

        Raises:
            InputError: An option or a file is faulty.
        """
        if self.pairs:
            return
        check_sizes(batch_size=self.batch_size)
        if not 1 <= self.others < len(OPTION_LETTERS):
            raise InputError("is out of range", field="--data.init_args.others", expected="1 to 4", got=self.others)
        pairs = item_pairs(self.person.answered, self.person.data.wording, self.others, self.seed)
        self.pairs = {"fit": encode_pairs(self.tokenizer, pairs, _LONGEST, self.person.data.data_dir)}

    def train_dataloader(self) -> ResumableLoader:
        """Pairs in an order of their own in every epoch."""
        return self.train_loader(self.pairs["fit"], self.collate)

    def collate(self, pairs: Sequence[EncodedPair]) -> PreferenceBatch:
        """A batch of pairs."""
        pad_id = self.tokenizer.pad_token_id
        return preference_batch(pairs, pad_id if isinstance(pad_id, int) else 0)

    def data_files(self) -> list[Path]:
        """The files read."""
        return self.person.data.data_files()

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the pairs depend on."""
        return {**self.person.settings(), "others": self.others, "seed": self.seed}


class PapiPromptDataModule(ChatDataModule):
    """The items that describe a person as prompts, each with the person's answer for `QuestionnaireReward`.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the files, as for datamodules.papi.PapiDataModule.
        person: Place of the person in the table, from 0.
        batch_size: Prompts per batch and process.
        wording: The words around the items; by default those the built-in model has learnt.
        seed: Seed of the order.
        num_workers: Processes that prepare batches; 0 prepares them in the training process.
    """

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        person: int = 0,
        batch_size: int = 40,
        wording: Wording | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.person = _Person(lm, data_dir, person, wording)
        self.prompts: list[Prompt] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 - there is one stage only
        """Read the person's answers.

        Raises:
            InputError: An option or a file is faulty.
        """
        check_sizes(batch_size=self.batch_size)
        ask = self.person.data.wording.ask
        self.prompts = [
            (ask(item), {"answer": answer, "item": item.number, "trait": item.trait})
            for item, answer in self.person.answered
        ]

    def train_dataloader(self) -> ResumableLoader:
        """Prompts in an order of their own in every epoch."""
        return prompt_loader(self.prompts, self.batch_size, self.seed, self.num_workers)


def item_pairs(answered: Sequence[tuple[Item, int]], wording: Wording, others: int, seed: int) -> list[Pair]:
    """Each answered item with some of the options that were not chosen.

    Args:
        answered: Items and answers from 1 to 5.
        wording: The words around them.
        others: Options that are drawn for each item.
        seed: Seed of the drawing.

    Returns:
        `others` pairs per item.

    >>> worry = Item(1, "Worry about things.", "neuroticism", 1)
    >>> [(pair.chosen, pair.rejected) for pair in item_pairs([(worry, 5)], Wording(), 4, seed=0)]
    [('A', 'B'), ('A', 'C'), ('A', 'D'), ('A', 'E')]
    """
    rng, texts = Random(seed), wording.answers()
    pairs = []
    for row, (item, answer) in enumerate(answered):
        chosen = len(texts) - answer
        rest = [place for place in range(len(texts)) if place != chosen]
        prompt = wording.ask(item, begin_answer=False)
        for place in sorted(rng.sample(rest, others)):
            answers = (wording.answer_prefix + texts[chosen], wording.answer_prefix + texts[place])
            pairs.append(Pair(row, prompt, *answers))
    return pairs
