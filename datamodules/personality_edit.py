"""PersonalityEdit: opinions on topics, to be edited towards one trait each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, ResumableLoader, bad_option, check_sizes
from datamodules.edit_batches import EditBatcher, EditWording, PersonalityEditBatch
from datamodules.edit_lengths import check_readable
from datamodules.opinions import read_opinions
from files.errors import InputError
from files.records import is_hub
from lm.limits import stored_limit
from lm.loading import LMSpec
from metrics.personality_edit import PersonalityEditBenchmark
from organism.questions import OPINION_QUESTIONS
from personas.traits import TRAITS

SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class EditDataModule(ChatDataModule):
    """Edits of opinions, from `train.json`, `val.json` and `test.json` as PersonalityEdit publishes them.

    In training, the trait to edit towards is drawn anew for every record and epoch; validation keeps what was drawn
    first; the test file names it. An edit is judged on all opinions about its topic and on those about another topic.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the three files, or a data set of the hub with splits of their names, `hub:owner/name`.
        batch_size: Edits per batch.
        traits: The traits that every record has opinions of.
        questions: Questions for an opinion, each with a place for the topic, `{topic}`; by default the built-in ones.
        score_edit_opinion: Also score the opinion that an edit is made from, as the release does.
        train_opinions: Judge an edit in training by so many opinions of each trait, drawn anew every epoch, and leave
            as many of the other topic alone; by default by all. Fewer make more edits in the same time.
        limit: Use only this many records of each file.
        max_tokens: Cut off longer texts in training and validation; by default nothing is cut.
        padding_side: Where shorter texts of a batch are filled up.
        seed: Seed of everything that is drawn.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    benchmark = PersonalityEditBenchmark()

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        batch_size: int = 8,
        traits: Sequence[str] = ("extraversion", "agreeableness", "neuroticism"),
        questions: Sequence[str] | None = None,
        score_edit_opinion: bool = False,
        train_opinions: int | None = None,
        limit: int | None = None,
        max_tokens: int | None = None,
        padding_side: Literal["left", "right"] = "right",
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.data_dir = Path(data_dir)
        self.hub = data_dir if is_hub(data_dir) else None
        self.limit = limit
        self.wording = EditWording(
            traits=tuple(traits),
            questions=tuple(OPINION_QUESTIONS if questions is None else questions),
            score_edit_opinion=score_edit_opinion,
            train_opinions=train_opinions,
            seed=seed,
            max_tokens=max_tokens,
            padding_side=padding_side,
        )
        self.batchers: dict[str, EditBatcher] = {}
        self.benchmark = PersonalityEditBenchmark(self.wording.traits)

    def setup(self, stage: str) -> None:
        """Read and check the files of a stage; texts are cut into tokens when they are first needed.

        Args:
            stage: `fit`, `validate` or `test`.

        Raises:
            InputError: If an option means nothing, a file is missing, or a record is faulty or longer than the model
                can read.
        """
        self._check_options()
        if self.hub is None and not self.data_dir.is_dir():
            raise InputError(
                "is not a folder",
                file=self.data_dir,
                field="--data.init_args.data_dir",
                expected="a folder with train.json, val.json and test.json",
                got=str(self.data_dir),
                fix="check the path",
            )
        for split in SPLITS.get(stage, ()):
            if split not in self.batchers:
                records = read_opinions(
                    self.data_dir / f"{split}.json",
                    self.wording.traits,
                    with_target=split == "test",
                    limit=self.limit,
                    hub=self.hub,
                )
                batcher = EditBatcher(records, split, self.tokenizer, self.wording, redraw=split == "train")
                # Texts too long and a limit too short are found before anything runs.
                if self.longest is not None:
                    check_readable(batcher, self.longest, self.data_dir / f"{split}.json")
                if self.wording.max_tokens is not None:
                    batcher.batch([0])
                self.batchers[split] = batcher

    @cached_property
    def longest(self) -> int | None:
        """Tokens that the model can read at once, where its settings say so."""
        return stored_limit(self.lm_spec)

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled edits, drawn anew in every epoch; goes on exactly where it stopped."""
        collate = _EpochCollate(self.batchers["train"])
        collate.loader = self.train_loader(range(len(self.batchers["train"])), collate)
        return collate.loader

    def names_of(self, items: Sequence[int]) -> list[str]:
        """Records by number, as the file counts them, and topic."""
        return [f"record {item} ({self.batchers['train'].records[item].topic})" for item in items]

    def val_dataloader(self) -> DataLoader:
        """Every edit of the validation file once."""
        return self._in_order("val")

    def test_dataloader(self) -> DataLoader:
        """Every edit of the test file once."""
        return self._in_order("test")

    def data_files(self) -> list[Path]:
        """The files that an evaluation's questions come from."""
        return [] if self.hub is not None else [self.data_dir / "test.json"]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that an evaluation's questions depend on."""
        return {**asdict(self.wording), "hub": self.hub, "batch_size": self.batch_size, "limit": self.limit}

    def _check_options(self) -> None:
        """Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words."""
        given = self.wording
        check_sizes(batch_size=self.batch_size, limit=self.limit)
        check_sizes(max_tokens=given.max_tokens, train_opinions=given.train_opinions)
        if not set(given.traits) <= set(TRAITS) or len(set(given.traits)) < max(2, len(given.traits)):
            expected = f"two or more different ones of {', '.join(TRAITS)}"
            raise bad_option("traits", "is no choice of traits", expected, list(given.traits), "correct the list")
        bad = [question for question in given.questions if "{topic}" not in question]
        if bad or not given.questions:
            expected = "questions such as 'What do you think of {topic}?'"
            got = bad[0] if bad else list(given.questions)
            raise bad_option("questions", "has no place for the topic", expected, got, "write {topic} in each of them")

    def _in_order(self, split: str) -> DataLoader:
        batcher = self.batchers[split]
        return self.eval_loader(range(len(batcher)), batcher.batch)


class _EpochCollate:
    """Makes the batches of the epoch that the loader is in."""

    def __init__(self, batcher: EditBatcher) -> None:
        self.batcher = batcher
        self.loader: ResumableLoader | None = None

    def __call__(self, indices: Sequence[int]) -> PersonalityEditBatch:
        return self.batcher.batch(indices, self.loader.epoch if self.loader is not None else 0)
