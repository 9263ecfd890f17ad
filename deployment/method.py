"""A method outside of an evaluation: what its settings file names, asked for personas of one's own."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentParser
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from callbacks.steering import SteeringCallback
from files.assets import asset_path
from files.errors import InputError
from files.yaml_files import read_yaml
from interventions.applied import Intervention
from interventions.bundle import Bundle, facts_of
from lightning_modules.trained import TrainedMethod, last_checkpoint, load_trained
from lm.chat import Chat
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from personas.persona import Persona
from personas.questions import Generation, QuestionBatch, Questions

NO_METHOD = "none"


@dataclass
class MethodSettings:
    """What a settings file of an evaluation says of its model and method.

    Attributes:
        lm: The language model.
        callback: The method; None where the file names none.
        ckpt_path: The trained method that it needs; None where it needs none.
        file: The file, for errors.
    """

    lm: LMSpec
    callback: SteeringCallback | None
    ckpt_path: str | None
    file: str


class Stage:
    """Stands in for an evaluation, as a method sees one; nothing is asked and nothing is scored.

    Args:
        lm: The language model.
        tokenizer: Its tokenizer.
        trained: The trained method of a checkpoint, if there is one.
        spec: How the model was named.
    """

    def __init__(
        self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, trained: TrainedMethod | None, spec: LMSpec
    ) -> None:
        self.lm = lm
        self.tokenizer = tokenizer
        self.trained: Any = trained
        self.spec = spec

    def adopt(self, name: str, settings: Mapping[str, Any], baseline: bool = False) -> None:
        """Nothing is kept of a method."""

    def is_done(self, batch: Any, method: str | None = None) -> bool:  # noqa: ARG002
        """Nothing is ever done already."""
        return False

    def steer(self, intervention: Any, questions: Questions | None, method: str | None = None) -> None:
        """No batch is answered."""

    def release(self) -> None:
        """There is nothing to forget."""


class PreparedMethod:
    """A method that has learnt or loaded all it needs.

    Args:
        settings: Model and method.
        stage: The model, where it is loaded already.
        folder: Where methods that learn directions keep them, and find them again; nowhere if left out.

    Raises:
        InputError: The model, a checkpoint or a file is missing or faulty, or an option means nothing.
    """

    def __init__(self, settings: MethodSettings, stage: Stage | None = None, folder: Path | None = None) -> None:
        if stage is None or settings.ckpt_path is not None:
            stage = staged(settings, stage)
        self.stage = stage
        self.callback = settings.callback
        if self.callback is not None:
            self.callback.evaluation = stage
            if hasattr(self.callback, "folder"):
                self.callback.folder = folder
            self.callback.fit()

    @property
    def name(self) -> str:
        """What results call the method."""
        if self.callback is not None:
            return self.callback.method
        return self.stage.trained.name if self.stage.trained is not None else NO_METHOD

    @property
    def model(self) -> PreTrainedModel:
        """The model that answers under the method."""
        trained = self.stage.trained
        return trained.model if trained is not None and self.callback is None else self.stage.lm

    def plan(self, personas: Sequence[Persona], prompts: Sequence[Chat]) -> tuple[Intervention | None, list[Chat]]:
        """How personas answer prompts, a prompt for each.

        Args:
            personas: Who answers.
            prompts: What each is asked.

        Returns:
            What is done to the model, with a row per persona, or None; and the prompts as the model is to read them.

        Raises:
            InputError: The method cannot express one of the personas.
        """
        # What a method draws for a record, such as a description, hangs on its name: here that of the persona.
        names = tuple(persona.name for persona in personas)
        asked = tuple(Generation(number, "answer", list(prompt)) for number, prompt in enumerate(prompts))
        questions = Questions(names, tuple(range(len(personas))), tuple(personas), generations=asked)
        if self.callback is None:
            return None, [list(prompt) for prompt in prompts]
        self.callback.check(personas)
        batch = QuestionBatch(questions)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* people are not in the PAS checkpoint")
            intervention = self.callback.intervene(batch)
        rewritten = self.callback.rewrite(batch) or questions
        return cast("Intervention | None", intervention), [one.prompt for one in rewritten.generations]

    def bundle(self, personas: Sequence[Persona]) -> Bundle:
        """The method for some personas, as a bundle.

        Raises:
            InputError: The method cannot express one of them, or acts by prompts.
        """
        prompt: Chat = [{"role": "user", "content": "?"}]
        intervention, prompts = self.plan(personas, [prompt] * len(personas))
        if intervention is None or any(one != prompt for one in prompts):
            raise InputError(
                f"the method {self.name} acts by what it writes into prompts, so there is nothing to export",
                field="SOURCE",
                expected="a method that changes the model",
                got=self.name,
                fix="give a settings file of repe, sae, npti or pas, a checkpoint or a bundle",
            )
        names = tuple(persona.name for persona in personas)
        details = {"levels": {persona.name: dict(persona.levels) for persona in personas}}
        return Bundle(intervention, self.name, names, facts_of(self.stage.lm), details)


def staged(settings: MethodSettings, stage: Stage | None = None) -> Stage:
    """The model of some settings, with its trained method; a model that is there already is taken again if it will do.

    Raises:
        InputError: It cannot be loaded.
    """
    if settings.ckpt_path is not None:
        trained = load_trained(settings.ckpt_path, settings.lm)
        return Stage(trained.base, trained.module.tokenizer, trained, settings.lm)
    if stage is not None:
        return stage
    return Stage(freeze(load_model(settings.lm)), load_tokenizer(settings.lm), None, settings.lm)


def read_settings(path: str | Path, model: str | None = None, ckpt_path: str | None = None) -> MethodSettings:
    """Read model and method from a settings file of `evaluate.py`.

    Args:
        path: The file.
        model: Another model than the file names.
        ckpt_path: Another checkpoint than that which the file's `trained_by` has trained.

    Raises:
        InputError: It is no such file, or names a method or an option that there is not.
    """
    file = str(path)
    content = _content(file)
    try:
        named = dict(content["model"]["init_args"]["lm"])
        callbacks = (content.get("trainer") or {}).get("callbacks") or []
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_settings(file, f"no model.init_args.lm ({error})") from error
    method = next((one for one in callbacks if _is_method(one)), None) if isinstance(callbacks, list) else None
    trained_by = content.get("trained_by")
    if ckpt_path is None and trained_by is not None:
        ckpt_path = last_checkpoint(str(trained_by))
    if model is not None:
        named["name"] = model
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(LMSpec, "lm")
    parser.add_subclass_arguments(SteeringCallback, "method", required=False)
    try:
        built = parser.instantiate(parser.parse_object({"lm": named} | ({"method": method} if method else {})))
    except Exception as error:  # the parser raises errors of several kinds
        raise _no_settings(file, " ".join(str(error).split())[:600]) from error
    return MethodSettings(built.lm, built.method if method else None, ckpt_path, file)


def _content(file: str) -> dict[str, Any]:
    content = read_yaml(
        asset_path(file),
        problem="is no settings file of an evaluation",
        expected="a YAML file such as configs/eval/trait/repe.yaml",
    )
    if not isinstance(content, dict):
        raise _no_settings(file, f"it holds {type(content).__name__}")
    return content


def _is_method(callback: Any) -> bool:
    """Whether an entry under trainer.callbacks is a method; only classes of this project are looked at."""
    path = callback.get("class_path") if isinstance(callback, dict) else None
    package, _, name = str(path).rpartition(".")
    if not package.startswith("callbacks."):
        return False
    try:
        kind = getattr(importlib.import_module(package), name, None)
    except ImportError:
        return False
    return isinstance(kind, type) and issubclass(kind, SteeringCallback)


def _no_settings(file: str, reason: str) -> InputError:
    return InputError(
        f"is no settings file of an evaluation: {reason}",
        file=file,
        expected="a YAML file such as configs/eval/trait/repe.yaml",
        fix="correct it, or give another",
    )
