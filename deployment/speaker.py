"""Load, steer, generate: a model under a method, asked from Python for personas of one's own."""

from __future__ import annotations

from pathlib import Path

from deployment.conversation import planned, steering_by
from deployment.method import PreparedMethod, read_settings
from files.errors import InputError
from lm.chat import Chat
from lm.generation import generate
from personas.persona import Persona
from personas.persona_names import persona_named


class Speaker:
    """A language model that answers questions, as it is or as a persona.

    Args:
        method: Model and method, with all that the method needs learnt or loaded.
        persona: Who answers; None for the model as it is.
        strength: Multiplies what the method does to the model; 0 is the base model. What a method writes into prompts
            stays as it is.
    """

    def __init__(self, method: PreparedMethod, persona: Persona | None = None, strength: float = 1.0) -> None:
        self.method = method
        self.persona = persona
        self.strength = strength

    @classmethod
    def load(
        cls,
        file: str | Path,
        model: str | None = None,
        ckpt_path: str | None = None,
        folder: str | Path | None = None,
    ) -> Speaker:
        """Load the model of a settings file, and let its method learn or load what it needs.

        Args:
            file: A settings file of `evaluate.py`, such as `configs/eval/personality_bench/repe.yaml`.
            model: Another model than the file names.
            ckpt_path: Another checkpoint than that which the file's `trained_by` has trained.
            folder: Where methods that learn directions keep them, and find them again; nowhere if left out.

        Raises:
            InputError: The file, the model or the checkpoint is missing or faulty, or the method has weights of its
                own instead of personas to choose from (MEND, SFT, DPO, PPO).
        """
        settings = read_settings(file, model, ckpt_path)
        if settings.callback is None and settings.ckpt_path is not None:
            raise InputError(
                "trains weights and has no personas to choose from",
                file=file,
                expected="a method that steers or prompts",
                fix="export it (python export.py) and load the folder with transformers",
            )
        return cls(PreparedMethod(settings, folder=None if folder is None else Path(folder)))

    def steered(self, persona: str, strength: float = 1.0) -> Speaker:
        """The same model as a persona; this one is left alone, and nothing is loaded again.

        Args:
            persona: Levels of traits or facets, such as `extraversion+`, `trust-0.5` or `openness=1, neuroticism=-0.5`.
            strength: As in the class.

        Raises:
            InputError: It names no persona.
        """
        return Speaker(self.method, persona_named(persona, "persona"), strength)

    def generate(self, *questions: str, max_new_tokens: int = 60, temperature: float = 0.0, seed: int = 0) -> list[str]:
        """Answers to questions, each asked by itself, all in one batch.

        Args:
            questions: What a user says.
            max_new_tokens: Longest answer, in tokens.
            temperature: 0 takes the likeliest token each time, higher values sample.
            seed: Seed of the sampling.

        Returns:
            An answer to each question.

        Raises:
            InputError: The method cannot express the persona, or a question is longer than the model can read.
        """
        prompts: list[Chat] = [[{"role": "user", "content": text}] for text in questions]
        steering = None
        if self.persona is not None and prompts:
            intervention, prompts = planned(self.method, [self.persona] * len(prompts), prompts)
            if intervention is not None:
                steering = steering_by(self.method, intervention.scaled(self.strength), len(prompts))
        return generate(
            self.method.stage.lm,
            self.method.stage.tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            batch_size=max(1, len(prompts)),
            steering=steering,
        )
