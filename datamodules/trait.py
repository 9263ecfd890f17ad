"""TRAIT: multiple choice between what people high and low on a trait would do, in several layouts and both orders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, bad_option, check_sizes
from datamodules.levels import check_levels, check_traits, wanted_personas
from datamodules.trait_items import TraitItem, read_trait_items, trait_files
from lm.loading import LMSpec
from metrics.trait import ORDERS, TraitBenchmark, part_of
from metrics.trait_score import OPTIONS
from personas.layouts import CHOICE_LAYOUTS, LETTERS, choice_prompt
from personas.persona import Persona
from personas.questions import Choice, QuestionBatch, Questions
from personas.traits import TRAITS
from personas.wording import filled

PLACES = ("{situation}", "{query}", "{A}", "{B}", "{C}", "{D}")


class TraitDataModule(ChatDataModule):
    """Items of TRAIT, each put to personas high and low on its trait.

    Every item is asked in each layout and with its options in both orders. The options are letters; what is compared is
    how likely each of them comes next, in whatever tokens the model writes it.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: A file of items, a folder with TRAIT.json, or a data set of the hub, `hub:owner/name`.
        batch_size: Items and levels asked at once.
        traits: The traits to ask about; by default all eight.
        levels: The levels of an item's trait that the persona is to have; none asks the model as nobody in particular.
        layouts: Names of built-in layouts (question, brackets, instruction), or layouts of one's own: texts with places
            for `{situation}`, `{query}`, `{A}`, `{B}`, `{C}` and `{D}`.
        answer_prefix: How the answer begins, before the option's letter.
        answer: How an option is chosen after that, with a place for its `{letter}`.
        paraphrased: Ask the paraphrased situation and query of each item.
        limit: Take only this many items of each trait, the first ones.
        seed: Seed of everything that is drawn: here nothing.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    benchmark = TraitBenchmark()

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        batch_size: int = 16,
        traits: Sequence[str] = TRAITS,
        levels: Sequence[float] = (1.0, -1.0),
        layouts: Sequence[str] = CHOICE_LAYOUTS,
        answer_prefix: str = "",
        answer: str = "{letter}",
        paraphrased: bool = False,
        limit: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.source = data_dir
        self.traits = list(traits)
        self.levels = list(levels)
        self.layouts = list(layouts)
        self.answer_prefix = answer_prefix
        self.answer = answer
        self.paraphrased = paraphrased
        self.limit = limit
        self.items: list[TraitItem] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 - the same items in every stage
        """Read and check the items.

        Args:
            stage: `fit`, `validate` or `test`.

        Raises:
            InputError: If an option means nothing, a file is missing or a record is faulty.
        """
        if self.items:
            return
        self._check_options()
        self.items = read_trait_items(self.source, self.traits, self.limit, self.paraphrased)
        names = [name if name in CHOICE_LAYOUTS else f"layout_{n}" for n, name in enumerate(self.layouts, start=1)]
        self.benchmark = TraitBenchmark(names, {item.name: item.trait for item in self.items})

    def test_dataloader(self) -> DataLoader:
        """Every item under every level once."""
        return self.eval_loader(range(len(self.items) * self._per_item), self.batch)

    def batch(self, places: Sequence[int]) -> QuestionBatch:
        """The questions at some places: the levels of an item stand side by side.

        Args:
            places: Which of them.
        """
        ids, personas, choices = [], [], []
        for record, place in enumerate(places):
            item = self.items[place // self._per_item]
            persona = wanted_personas(item.trait, self.levels)[place % self._per_item]
            ids.append(f"{item.name}:{persona.name}")
            personas.append(persona)
            choices += [
                Choice(record, part_of(number, order), self.ask(item, layout, order), self.letters())
                for number, layout in enumerate(self.layouts)
                for order in range(len(ORDERS))
            ]
        return QuestionBatch(Questions(tuple(ids), tuple(places), tuple(personas), choices=tuple(choices)))

    def ask(self, item: TraitItem, layout: str, order: int) -> list[dict[str, str]]:
        """The turns that put an item to the model, in a layout and with its options in one of the two orders."""
        options = item.options(order)
        if layout in CHOICE_LAYOUTS:
            text = choice_prompt(item.situation, item.query, options, layout)
        else:
            text = filled(
                layout, situation=item.situation, query=item.query, **dict(zip(LETTERS, options, strict=False))
            )
        begun = [{"role": "assistant", "content": self.answer_prefix}] if self.answer_prefix else []
        return [{"role": "user", "content": text}, *begun]

    def letters(self) -> tuple[str, ...]:
        """The answers to choose from."""
        return tuple(filled(self.answer, letter=letter) for letter in OPTIONS)

    def personas(self) -> list[Persona]:
        """Every persona that is asked for."""
        return list(dict.fromkeys(who for item in self.items for who in wanted_personas(item.trait, self.levels)))

    def data_files(self) -> list[Path]:
        """The files that an evaluation's questions come from."""
        return trait_files(self.source)

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that an evaluation's questions depend on."""
        names = ("source", "traits", "levels", "layouts", "answer_prefix", "answer", "paraphrased", "limit")
        return {name: getattr(self, name) for name in names} | {"batch_size": self.batch_size}

    @property
    def _per_item(self) -> int:
        return max(1, len(self.levels))

    def _check_options(self) -> None:
        """Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words."""
        check_levels(self.levels)
        check_traits(self.traits)
        check_sizes(batch_size=self.batch_size, limit=self.limit)
        for layout in self.layouts:
            lacking = [place for place in PLACES if place not in layout]
            if layout not in CHOICE_LAYOUTS and lacking:
                expected = f"one of {', '.join(CHOICE_LAYOUTS)}, or a text with {' '.join(PLACES)}"
                raise bad_option("layouts", f"has no place for {lacking[0]}", expected, layout, "correct the layout")
        if not self.layouts or len(set(self.layouts)) < len(self.layouts):
            raise bad_option("layouts", "is no choice of layouts", "different ones", self.layouts, "correct the list")
        if "{letter}" not in self.answer:
            raise bad_option("answer", "has no place for the letter", "{letter} in it", self.answer, "write {letter}")
