"""PersonalityBench: open questions that call up a trait, put to personas at both of its ends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, bad_option, check_sizes
from datamodules.levels import check_levels, check_traits, wanted_personas
from files.errors import InputError
from files.readers import require
from files.records import is_hub, read_records
from lm.loading import LMSpec
from metrics.personality_bench import PersonalityBenchBenchmark
from personas.persona import Persona
from personas.questions import Generation, QuestionBatch, Questions
from personas.traits import BIG_FIVE

Part = Literal["test", "search"]
ANSWER = "answer"
"""What a question is for: a free answer."""


class PersonalityBenchDataModule(ChatDataModule):
    """Questions of PersonalityBench, each put to personas high and low on the trait that it calls up.

    The files lie in `test/<Trait>.json` and `search/<Trait>.json`, one object with a `question` per line. The search
    questions are what methods learn from, the test questions what they are judged by. A trait whose file is missing is
    left out with a warning.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the files, or a data set of the hub that holds them, `hub:owner/name`.
        batch_size: Questions and levels asked at once.
        traits: The traits to ask about.
        levels: The levels of a question's trait that the persona is to have; none asks the model as nobody in
            particular.
        questions: Take only this many questions of each trait, the first ones.
        part: Which questions an evaluation asks.
        seed: Seed of everything that is drawn: here nothing.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    benchmark = PersonalityBenchBenchmark()

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        batch_size: int = 32,
        traits: Sequence[str] = BIG_FIVE,
        levels: Sequence[float] = (1.0, -1.0),
        questions: int | None = None,
        part: Part = "test",
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.source = data_dir
        self.traits = list(traits)
        self.levels = list(levels)
        self.limit = questions
        self.part: Part = part
        self._asked: dict[Part, list[tuple[str, str]]] = {}

    def setup(self, stage: str) -> None:
        """Read and check the questions: those to learn from where a method is fitted, else those to be judged by.

        Args:
            stage: `fit`, `validate` or `test`.

        Raises:
            InputError: If an option means nothing, no file is there, or a line is faulty.
        """
        self._check_options()
        part: Part = self.part if stage == "test" else "search"
        asked = self.questions_of(part)
        if stage == "test":
            self.benchmark = PersonalityBenchBenchmark({_name(trait, n): trait for n, (trait, _) in enumerate(asked)})

    def questions_of(self, part: Part) -> list[tuple[str, str]]:
        """The questions of a part, each after the trait that it calls up; read when they are first asked for.

        Args:
            part: `test` or `search`.

        Raises:
            InputError: If no file is there, or a line is faulty.
        """
        if part not in self._asked:
            found = {trait: questions for trait in self.traits if (questions := self._read(part, trait)) is not None}
            if not found:
                raise InputError(
                    "holds no questions",
                    file=Path(self.source) / part,
                    field="--data.init_args.data_dir",
                    expected=f"files such as {part}/{self.traits[0].title()}.json",
                    got=str(self.source),
                    fix="check the path",
                )
            self._asked[part] = [(trait, text) for trait, questions in found.items() for text in questions]
        return self._asked[part]

    def train_dataloader(self) -> DataLoader:
        """Every search question under every level once, for a method to learn from."""
        return self._loader("search")

    def test_dataloader(self) -> DataLoader:
        """Every question under every level once."""
        return self._loader(self.part)

    def batch(self, places: Sequence[int], part: Part = "test") -> QuestionBatch:
        """The questions at some places: the levels of a question stand side by side.

        Args:
            places: Which of them.
            part: Of which part.
        """
        ids, personas, asked = [], [], []
        for record, place in enumerate(places):
            number, level = divmod(place, self._per_question)
            trait, text = self.questions_of(part)[number]
            persona = wanted_personas(trait, self.levels)[level]
            ids.append(f"{_name(trait, number)}:{persona.name}")
            personas.append(persona)
            asked.append(Generation(record, ANSWER, [{"role": "user", "content": text}]))
        return QuestionBatch(Questions(tuple(ids), tuple(places), tuple(personas), generations=tuple(asked)))

    def personas(self) -> list[Persona]:
        """Every persona that is asked for."""
        traits = dict.fromkeys(trait for trait, _ in self.questions_of(self.part))
        return list(dict.fromkeys(who for trait in traits for who in wanted_personas(trait, self.levels)))

    def data_files(self) -> list[Path]:
        """The files that an evaluation's questions come from."""
        if is_hub(self.source):
            return []
        files = [Path(self._question_file(self.part, trait)) for trait in self.traits]
        return [file for file in files if file.is_file()]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that an evaluation's questions depend on."""
        names = ("source", "traits", "levels", "limit", "part", "batch_size")
        return {name: getattr(self, name) for name in names}

    @property
    def _per_question(self) -> int:
        return max(1, len(self.levels))

    def _loader(self, part: Part) -> DataLoader:
        lengths = [len(question) for _, question in self.questions_of(part) for _ in range(self._per_question)]
        return self.eval_loader(range(len(lengths)), partial(self.batch, part=part), lengths=lengths)

    def _question_file(self, part: Part, trait: str) -> str:
        return self._file(f"{part}/{trait.title()}.json")

    def _file(self, name: str) -> str:
        return name if is_hub(self.source) else str(Path(self.source) / name)

    def _read(self, part: Part, trait: str) -> list[str] | None:
        """The questions of a trait; None where its file is missing."""
        file = self._question_file(part, trait)
        if is_hub(self.source):
            records = read_records(self.source, file=file)
        elif Path(file).is_file():
            records = read_records(file)
        else:
            warnings.warn(f"{file} is missing: {trait} is left out", stacklevel=2)
            return None
        texts = [_question(record, file, row) for row, record in records]
        if not texts:
            expected = 'lines such as {"question": "..."}'
            raise InputError("holds no question", file=file, expected=expected, fix="fetch the file again")
        return texts[: self.limit]

    def _check_options(self) -> None:
        """Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words."""
        check_levels(self.levels)
        check_traits(self.traits)
        check_sizes(batch_size=self.batch_size, questions=self.limit)
        if self.part not in get_args(Part):
            raise bad_option("part", "is no part of the data", "test or search", self.part, "correct it")


def _question(record: Mapping[str, Any], file: str, row: int) -> str:
    try:
        return require(record, "question", str, file=file, row=row).strip()
    except InputError as error:
        error.fix = "correct or remove this line"
        raise


def _name(trait: str, number: int) -> str:
    return f"{number}:{trait}"
