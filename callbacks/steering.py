"""The base of every method that needs no training run: what it does to the model and to the prompts of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from lightning.pytorch import Callback, LightningModule, Trainer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from interventions.applied import Intervention
from lm.passes import ForwardRows
from personas.persona import Persona
from personas.questions import Questions


class RowIntervention(Protocol):
    """An intervention with a row per record, to be laid out for the rows of a forward pass."""

    def for_pass(self, rows: ForwardRows) -> Intervention:
        """The same for a pass whose row r belongs to record `rows.keys[r]`."""


class Evaluation(Protocol):
    """What a method sees of the evaluation it takes part in.

    Attributes:
        lm: The language model.
        tokenizer: Its tokenizer.
        trained: The trained method of the evaluation's checkpoint; None where there is none.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    trained: Any

    def adopt(self, name: str, settings: Mapping[str, Any], baseline: bool = False) -> None:
        """Take a method in."""

    def is_done(self, batch: Any, method: str | None = None) -> bool:
        """Whether an earlier run has scored a batch under a method."""

    def steer(
        self, intervention: RowIntervention | None, questions: Questions | None, method: str | None = None
    ) -> None:
        """Say how the coming batch is answered under a method."""

    def release(self) -> None:
        """Forget how the batch was to be answered."""


class SteeringCallback(Callback):
    """A method without a training run of its own.

    A subclass names itself and says what it does: `fit` learns or loads once, `intervene` gives the intervention for a
    batch, `rewrite` the changed prompts, and `refusal` says which personas it cannot express. The base class brings
    this to the evaluation at the right moments. Nothing is left on the model at any time outside of a forward pass, and
    what was planned for a batch is forgotten after it, also when it fails.

    Attributes:
        method: What results call it.
        baseline: Whether it stands beside the method that is evaluated; set for those under `baselines:`.
        evaluation: The evaluation, from `on_test_start` on.
    """

    method: ClassVar[str] = ""
    baseline: bool = False
    evaluation: Evaluation

    @property
    def state_key(self) -> str:
        """Tells two callbacks of one class apart."""
        return f"{type(self).__qualname__}[{self.method}]"

    def settings(self) -> dict[str, Any]:
        """All its answers depend on, as JSON objects."""
        return {}

    def fit(self) -> None:
        """Learn or load what it needs, once, before the first batch; `evaluation` is there by now."""

    def refusal(self, persona: Persona) -> str | None:
        """What this method can express, where a persona is something else; None where it can express the persona.

        Called after `fit`.
        """
        return None

    def intervene(self, batch: Any) -> RowIntervention | None:
        """What is done to the model for a batch: one row per record; None leaves it as it is."""
        return None

    def rewrite(self, batch: Any) -> Questions | None:
        """The batch's questions with changed prompts; None leaves them as they are."""
        return None

    def check(self, personas: Iterable[Persona]) -> None:
        """Refuse personas that this method cannot express.

        Raises:
            InputError: Naming the first of them, and what the method can express.
        """
        for persona in personas:
            expected = self.refusal(persona)
            if expected is not None:
                raise InputError(
                    f"the method {self.method} cannot express the persona {persona.name!r}",
                    field="--data",
                    expected=expected,
                    got=dict(persona.levels) or "no levels",
                    fix="ask the benchmark for other personas, or choose another method",
                )

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take part in the evaluation."""
        if not isinstance(pl_module, LightningModule) or not hasattr(pl_module, "adopt"):
            raise InputError(
                f"the method {self.method} takes part in evaluations only",
                field="trainer.callbacks",
                expected="evaluate.py",
                got=type(pl_module).__name__,
                fix="remove it from the settings of this command",
            )
        self.evaluation = pl_module  # type: ignore[assignment]  # a module with these methods
        self.fit()
        wanted = getattr(getattr(trainer, "datamodule", None), "personas", None)
        if callable(wanted):  # a benchmark that knows them all is refused before the first question
            self.check(wanted())
        self.evaluation.adopt(self.method, self.settings(), baseline=self.baseline)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Plan the batch, unless an earlier run has scored it."""
        name = self.method if self.baseline else None
        if not self.evaluation.is_done(batch, name):
            self.check(batch.questions.personas)
            self.evaluation.steer(self.intervene(batch), self.rewrite(batch), name)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Forget the plan."""
        self.evaluation.release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Forget the plan where a batch fails; no other hook of an evaluation runs then."""
        if hasattr(self, "evaluation"):
            self.evaluation.release()
