"""What the page talks to: models, methods and the classifier, each loaded when it is first asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deployment.conversation import AnswerOptions, Conversation, answered, columns_of
from deployment.method import MethodSettings, PreparedMethod, Stage, read_settings, staged
from deployment.trait_bars import trait_profiles
from files.atomic import write_json
from files.errors import InputError
from lm.classifier import ClassifierSpec, TraitClassifier
from lm.loading import LMSpec
from personas.persona import Persona
from personas.persona_names import persona_named
from personas.traits import BIG_FIVE, TRAITS

OWN = "my own"
"""The persona whose levels are those of the sliders."""
POLES = tuple(f"{trait}{end}" for trait in BIG_FIVE for end in "+-")
_PAUSE = 0.15  # seconds between two looks at answers that are being written


@dataclass(frozen=True)
class Progress:
    """One look at a conversation.

    Attributes:
        columns: Names of the columns.
        conversation: What was said so far.
        profiles: What the classifier reads off each column's answer, empty without one.
        finished: Whether the answers are whole.
    """

    columns: tuple[str, ...]
    conversation: Conversation
    profiles: tuple[Mapping[str, float], ...]
    finished: bool


class ChatRoom:
    """Models and methods by name, and conversations with them.

    Args:
        models: Folders or names of models; the first is the one that methods' files are for.
        methods: Settings files of evaluate.py, by what the page calls them.
        classifier: Reads traits off answers; None shows no bars.
        folder: Where conversations are saved, and where methods keep what they have learnt.

    Attributes:
        classifier: What reads traits off answers, or None.
    """

    def __init__(
        self, models: Sequence[str], methods: Mapping[str, str], classifier: ClassifierSpec | None, folder: Path
    ) -> None:
        self.models = list(models)
        self.methods = dict(methods)
        self.folder = folder
        self.classifier = TraitClassifier(classifier, TRAITS) if classifier is not None else None
        self._stages: dict[str, Stage] = {}
        self._prepared: dict[tuple[str, str], PreparedMethod] = {}
        self.stage(self.models[0])

    def stage(self, model: str) -> Stage:
        """A model, loaded once.

        Raises:
            InputError: It cannot be loaded.
        """
        if model not in self._stages:
            self._stages[model] = staged(MethodSettings(LMSpec(model), None, None, model))
        return self._stages[model]

    def method(self, model: str, name: str) -> PreparedMethod:
        """A method for a model, prepared once; what it learns is kept in the folder.

        Raises:
            InputError: It cannot be prepared, such as for want of training.
        """
        if (model, name) not in self._prepared:
            settings = read_settings(self.methods[name], model=model)
            kept = self.folder / "learnt" / Path(model).name
            self._prepared[model, name] = PreparedMethod(settings, self.stage(model), kept)
        return self._prepared[model, name]

    def is_ready(self, model: str, name: str) -> bool:
        """Whether a method has learnt or loaded all it needs."""
        return (model, name) in self._prepared

    def say(
        self,
        text: str,
        conversation: Conversation,
        model: str,
        method: str,
        personas: Sequence[str],
        levels: Mapping[str, float],
        options: AnswerOptions,
    ) -> Iterator[Progress]:
        """Say something to the base model and some personas, and see them answer.

        Args:
            text: What is said.
            conversation: What was said before.
            model: One of the models.
            method: One of the methods.
            personas: Poles of traits, or `OWN`.
            levels: Of the persona `OWN`.
            options: How answers are written.

        Raises:
            InputError: The text is empty, the method cannot be prepared or cannot express a persona.
        """
        if not text.strip():
            raise InputError("there is nothing to answer", field="message", expected="a text", fix="write something")
        if OWN in personas and not own_levels(levels):
            raise InputError(
                f"the persona {OWN!r} is nobody yet: all its levels are 0",
                expected="a level other than 0 for at least one trait",
                fix=f"move a slider, or take {OWN!r} out of the personas",
            )
        asked = {name: Persona(OWN, own_levels(levels)) if name == OWN else persona_named(name) for name in personas}
        prepared = self.method(model, method)
        columns = columns_of(asked)
        prompts = conversation.heard(columns, text.strip())
        texts, shown = [""] * len(columns), 0.0
        for texts in answered(prepared, asked, prompts, options):
            if time.monotonic() - shown > _PAUSE:
                yield self._progress(columns, conversation.said(columns, prompts, texts), texts, finished=False)
                shown = time.monotonic()
        yield self._progress(columns, conversation.said(columns, prompts, texts), texts, finished=True)

    def save(self, conversation: Conversation, about: Mapping[str, object]) -> Path:
        """Write a conversation to the folder.

        Args:
            conversation: What was said.
            about: What it was said with, of plain values.

        Raises:
            InputError: Nothing was said yet, or the folder cannot be written.
        """
        if not conversation.turns:
            raise InputError("there is nothing to save", field="conversation", fix="say something first")
        now = datetime.now(tz=UTC)
        name = f"conversation-{now.strftime('%Y%m%d-%H%M%S-%f')}.json"
        content = {"saved": now.isoformat(timespec="seconds"), **about, "columns": conversation.turns}
        return write_json(self.folder / name, content)

    def _progress(
        self, columns: Sequence[str], conversation: Conversation, texts: Sequence[str], finished: bool
    ) -> Progress:
        profiles = trait_profiles(self.classifier, texts) if self.classifier is not None else []
        return Progress(tuple(columns), conversation, tuple(profiles), finished)


def own_levels(levels: Mapping[str, float]) -> dict[str, float]:
    """The levels of sliders; those in the middle say nothing.

    >>> own_levels({"openness": 0.5, "neuroticism": 0})
    {'openness': 0.5}
    """
    return {trait: float(level) for trait, level in levels.items() if level}
