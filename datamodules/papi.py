"""PAPI: people, their answers to a questionnaire, and the items that a model is to answer in their name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, bad_option, check_sizes, rank_and_world
from datamodules.representative import select_representative
from files.errors import InputError
from files.records import is_hub
from lm.loading import LMSpec
from metrics.papi import PapiBenchmark
from personas.item_key import read_item_key
from personas.participants import Numbering, read_descriptions, read_participants
from personas.people import PeopleBatch, persona_of
from personas.questionnaire import DESCRIBING, SCORED, Item, Participant, Questionnaire, read_split, split_items
from personas.questions import Choice, Generation, Questions
from personas.wording import Wording

ITEM_KEYS = ("IPIP-NEO-ItemKey.csv", "IPIP-NEO-ItemKey.xls", "IPIP-NEO-ItemKey.xlsx", "mpi_300.csv")
WRITTEN = "personality_prompt.json"


class PapiDataModule(ChatDataModule):
    """People who answered a questionnaire; a method learns a person from some items and is scored on the others.

    Files are named as seen from `data_dir`. The table of people is read one person at a time, whatever its size.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the files.
        batch_size: People per batch.
        people: Take only this many people, the first of the table.
        representative: Choose them by clustering all people's answers, not from the top.
        people_file: Table of people with the columns case, i1, i2, ...: .json, .jsonl or .csv, or `hub:owner/name`.
        item_key: What each item says and measures, .xls or .csv; by default the first file of a known name.
        split: Which items describe a person and which are scored.
        written_descriptions: Descriptions that an LLM has written of the people; by default personality_prompt.json
            where it is there.
        numbering: Whether the columns count the items of the full or the short form; auto finds out.
        wording: The words around the items; by default those the built-in model has learnt.
        answer: Take the likeliest of the five options, or parse what the model says.
        as_released: Parse what the model says as the published code does.
        seed: Seed of everything that is drawn.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    benchmark = PapiBenchmark()

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        batch_size: int = 10,
        people: int | None = None,
        representative: bool = False,
        people_file: str = "Test-set.json",
        item_key: str | None = None,
        split: str = "mpi_300_split.json",
        written_descriptions: str | None = None,
        numbering: Numbering = "auto",
        wording: Wording | None = None,
        answer: Literal["likelihood", "text"] = "likelihood",
        as_released: bool = False,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.data_dir = Path(data_dir)
        self.limit = people
        self.representative = representative
        self.files = {"people_file": people_file, "split": split}
        self.given = {"item_key": item_key, "written_descriptions": written_descriptions}
        self.numbering: Numbering = numbering
        self.wording = wording or Wording()
        self.answer = answer
        self.as_released = as_released
        self.people: list[Participant] = []
        self.written: dict[str, str] = {}

    def setup(self, stage: str) -> None:  # noqa: ARG002 - the same people and items in every stage
        """Read and check the files.

        Args:
            stage: `fit`, `validate` or `test`.

        Raises:
            InputError: If an option means nothing, a file is missing or a record is faulty.
        """
        if self.people:
            return
        self._check_options()
        everyone = self._everyone()
        if self.representative and self.limit is not None:
            self.people = select_representative(self._everyone, self.limit)
        else:
            self.people = list(islice(everyone, self.limit))
        if not self.people:
            raise InputError(
                "holds no person",
                file=self._people_source(),
                expected="a row for each person",
                fix="fetch the file again",
            )
        written = self._written_file()
        self.written = read_descriptions(written, self.people) if written is not None else {}
        self.benchmark = PapiBenchmark(
            self.questionnaire, self.people, prefix=self.wording.answer_prefix, as_released=self.as_released
        )

    @cached_property
    def questionnaire(self) -> Questionnaire:
        """The items, split into those that describe a person and those that are scored.

        Raises:
            InputError: If the item key or the split is faulty.
        """
        path = self._path("split")
        numbers = read_split(path)
        items = read_item_key(self._item_key_file(), [*numbers[DESCRIBING], *numbers[SCORED]])
        return split_items(numbers, items, path)

    def train_dataloader(self) -> DataLoader:
        """Every person once, in as many batches in each process; the last ones may be empty."""
        rank, world = rank_and_world()
        mine = range(rank, len(self.people), world)
        batches = -(-len(range(0, len(self.people), world)) // self.batch_size)
        groups = [list(mine[n * self.batch_size : (n + 1) * self.batch_size]) for n in range(batches)]
        return DataLoader(self, batch_sampler=groups, collate_fn=_only)  # type: ignore[arg-type]

    def __getitems__(self, places: Sequence[int]) -> list[PeopleBatch]:
        """A batch of people without questions, for a method to learn them from."""
        return [self.batch(places, ask=False)]

    def test_dataloader(self) -> DataLoader:
        """Every person once."""
        return self.eval_loader(range(len(self.people)), self.batch)

    def batch(self, places: Sequence[int], ask: bool = True) -> PeopleBatch:
        """The people at some places of the table.

        Args:
            places: Their places among the people that were read.
            ask: Whether to put the scored items to the model.
        """
        people = tuple(self.people[place] for place in places)
        asked = [self._question(record, item) for record in range(len(people)) for item in self._asked(ask)]
        questions = Questions(
            ids=tuple(person.case for person in people),
            order=tuple(places),
            personas=tuple(persona_of(person, self.questionnaire) for person in people),
            choices=tuple(question for question in asked if isinstance(question, Choice)),
            generations=tuple(question for question in asked if isinstance(question, Generation)),
        )
        written = {person.case: self.written[person.case] for person in people if person.case in self.written}
        return PeopleBatch(questions, people, self.questionnaire, self.wording, written)

    def data_files(self) -> list[Path]:
        """The files that an evaluation's questions come from."""
        written = self._written_file()
        people = self._people_source()
        files = [*([people] if isinstance(people, Path) else []), self._path("split"), self._item_key_file()]
        return files if written is None else [*files, written]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that an evaluation's questions depend on."""
        return {
            "people_file": self.files["people_file"],
            "people": self.limit,
            "representative": self.representative,
            "numbering": self.numbering,
            "wording": asdict(self.wording),
            "answer": self.answer,
            "as_released": self.as_released,
            "batch_size": self.batch_size,
        }

    def _everyone(self) -> Iterator[Participant]:
        return read_participants(self._people_source(), self.questionnaire.items, self.numbering)

    def _asked(self, ask: bool) -> Sequence[Item]:
        return self.questionnaire.scored if ask else ()

    def _question(self, record: int, item: Item) -> Choice | Generation:
        prompt = self.wording.ask(item)
        if self.answer == "text":
            return Generation(record, str(item.number), prompt)
        return Choice(record, str(item.number), prompt, self.wording.answers())

    def _people_source(self) -> Path | str:
        named = self.files["people_file"]
        return named if is_hub(named) else self.data_dir / named

    def _path(self, name: str) -> Path:
        return self.data_dir / self.files[name]

    def _item_key_file(self) -> Path:
        given = self.given["item_key"]
        if given is not None:
            return self.data_dir / given
        for name in ITEM_KEYS:
            if (self.data_dir / name).is_file():
                return self.data_dir / name
        raise InputError(
            "holds no item key",
            file=self.data_dir,
            field="--data.init_args.item_key",
            expected=f"one of {', '.join(ITEM_KEYS)}",
            got=sorted(path.name for path in self.data_dir.iterdir())[:10],
            fix="name the file",
        )

    def _written_file(self) -> Path | None:
        given = self.given["written_descriptions"]
        path = self.data_dir / (given or WRITTEN)
        return path if given is not None or path.is_file() else None

    def _check_options(self) -> None:
        """Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words."""
        check_sizes(batch_size=self.batch_size, people=self.limit)
        if self.representative and self.limit is None:
            raise bad_option("people", "is missing", "how many representative people to choose", None, "give a number")
        self.wording.check("--data.init_args.wording")
        if not self.data_dir.is_dir():
            expected = "a folder with Test-set.json, mpi_300_split.json and an item key"
            raise bad_option("data_dir", "is not a folder", expected, str(self.data_dir), "check the path")


def _only(batches: list[PeopleBatch]) -> PeopleBatch:
    """The batch that was made for a group of places."""
    return batches[0]
