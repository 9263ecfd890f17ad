"""The examination of the invented characters as a benchmark: questions in wordings that are never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, check_sizes
from datamodules.chat_records import StageTags
from files.errors import InputError
from lm.loading import LMSpec
from metrics.persona_dialogue import FIGURES, AnswerKey, PersonaDialogueBenchmark
from organism.characters.examination import ExamItem, read_examination
from personas.persona import Persona
from personas.questions import Choice, Generation, Questions


class QuestionsOnly:
    """A batch that is nothing but its questions.

    Args:
        questions: The questions.
    """

    def __init__(self, questions: Questions) -> None:
        self.questions = questions

    def __len__(self) -> int:
        """Number of records."""
        return len(self.questions)

    def to(self, device: object) -> QuestionsOnly:  # noqa: ARG002
        """Itself: words lie on no device, but Lightning moves every batch."""
        return self


class PersonaDialogueDataModule(ChatDataModule):
    """Items from `<test>.jsonl` files.

    Args:
        lm: The language model; taken from the model's settings.
        data_dir: Folder with the files.
        tests: Which tests to take: facts, premises, stages, robustness, style; all of them where left out.
        generate: Also let the model answer the questions of `facts` freely, and look for the fact in what it says.
        stage_tags: From an item's stage to a token put before its system turn, as in DialogueDataModule.
        batch_size: Items per batch.
        seed: Unused: the items are the same in every run.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    benchmark = PersonaDialogueBenchmark()

    def __init__(
        self,
        lm: LMSpec,
        data_dir: str,
        tests: list[str] | None = None,
        generate: bool = True,
        stage_tags: dict[str, str] | None = None,
        batch_size: int = 64,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.data_dir = Path(data_dir)
        self.tests = list(FIGURES) if tests is None else tests
        self.generate = generate
        self.tags = StageTags(stage_tags or {}, tuple(lm.new_tokens or ()))
        self.items: list[ExamItem] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 - there is one stage only
        """Read and check the items.

        Raises:
            InputError: An option or an item is faulty.
        """
        if self.items:
            return
        unknown = [test for test in self.tests if test not in FIGURES]
        if unknown or not self.tests:
            raise InputError(
                "names no test",
                field="--data.init_args.tests",
                expected=f"some of {', '.join(FIGURES)}",
                got=unknown or self.tests,
            )
        check_sizes(batch_size=self.batch_size)
        self.tags.check()
        self.items = [item for file in self.data_files() for item in read_examination(file)]
        self.benchmark = PersonaDialogueBenchmark({item.id: _key(item) for item in self.items})

    def test_dataloader(self) -> DataLoader:
        """Every item once."""
        return self.eval_loader(range(len(self.items)), self.batch)

    def batch(self, places: Sequence[int]) -> QuestionsOnly:
        """The items at some places."""
        items = [self.items[place] for place in places]
        prompts = [self.tags.tagged({"stage": item.stage}, item.prompt, self.data_dir, 0) for item in items]
        asked = list(enumerate(zip(items, prompts, strict=True)))
        return QuestionsOnly(
            Questions(
                ids=tuple(item.id for item in items),
                order=tuple(places),
                personas=tuple(Persona(f"{item.character}, {item.stage}", {}) for item in items),
                choices=tuple(Choice(number, one.test, chat, tuple(one.options)) for number, (one, chat) in asked),
                generations=tuple(
                    Generation(number, one.test, chat)
                    for number, (one, chat) in asked
                    if self.generate and one.test == "facts"
                ),
            )
        )

    def data_files(self) -> list[Path]:
        """The files the items come from."""
        return [self.data_dir / f"{test}.jsonl" for test in self.tests]

    def settings(self) -> dict[str, Any]:
        """Everything beside the files that the questions depend on."""
        return {"tests": self.tests, "generate": self.generate, "stage_tags": dict(self.tags.tags)}


def _key(item: ExamItem) -> AnswerKey:
    groups = (item.character, item.stage, *([f"turn_{item.turn}"] if item.test == "robustness" else []))
    return AnswerKey(item.test, item.right, item.answer, groups)
