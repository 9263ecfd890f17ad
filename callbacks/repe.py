"""RepE: directions read off contrasting prompts, layer by layer, and added to the hidden states."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from callbacks.directions import DirectionSteering, Where
from files.errors import InputError
from files.provenance import data_hash
from files.readers import read_json_lines, require
from interventions.contrast_directions import Directions, contrast_directions
from interventions.text_states import answer_means, prompt_ends, question_means
from lm.chat import Chat
from lm.generation import generate
from personas.contrasts import Contrast, read_contrasts
from personas.wording import described_by

RepEEstimate = Literal["pca", "mean_difference", "probe", "single_pair", "persona_vector"]


class RepE(DirectionSteering):
    """Steers along directions that tell prompts of opposite kinds apart.

    Each pair of texts, such as descriptions of somebody high and low on a trait, stands before the same question. The
    direction of a layer is found in its states at the end of these prompts; for persona vectors, in its mean states
    over the answers that the model itself gives to them. At strength 1 a direction is as long as the means of both
    sides lie apart along it.

    Where a model reads options that it is to choose from, a trait has another direction than where it speaks: `choices`
    adds the difference of mean states over such questions, in layers of their own.

    Args:
        contrasts: A file of contrast sets: `{name: {positive, negative}}`, or descriptions of both ends of traits.
        questions: A file of questions, or a folder of such files; without it the texts are prompts by themselves.
        estimate: `pca` of the paired differences, `mean_difference`, a linear `probe`; `single_pair` takes the first
            pair alone (activation addition); `persona_vector` compares answers in place of prompts.
        layers: Decoder blocks to steer, from 0; the middle third of them if left out.
        samples: Pairs of prompts for each set, drawn from its pairs and the questions.
        names: The sets to take; all of them if left out.
        role: Whether a text stands in the system turn, or at the head of the user's.
        choices: Further questions, with options to choose from: a file, or a folder of such files.
        choice_layers: Decoder blocks to steer along the directions that are found in them.
        choice_weight: Times these directions are added.
        max_new_tokens: Longest answer of the model, for persona vectors.
        batch_size: Texts in one forward pass.
        seed: Seed of the draws.
        strength: As in `DirectionSteering`.
        where: As in `DirectionSteering`.
        bundle: As in `DirectionSteering`.
        coefficients: As in `DirectionSteering`.

    Reference:
        Zou et al., Representation Engineering, 2023; Turner et al., Activation Addition, 2023 (`single_pair`); Chen et
        al., Persona Vectors, 2025 (`persona_vector`).

    Deviation:
        Activation addition adds the difference of each token of the pair to the first tokens of a prompt; ours adds
        that of the last token, wherever `where` says. RepE's own coefficients belong to directions of length 1.
    """

    method = "repe"

    def __init__(
        self,
        contrasts: str = "assets/data/personality_bench/description.json",
        questions: str | None = None,
        estimate: RepEEstimate = "mean_difference",
        layers: Sequence[int] | None = None,
        samples: int = 64,
        names: Sequence[str] | None = None,
        role: Literal["system", "user"] = "system",
        choices: str | None = None,
        choice_layers: Sequence[int] = (),
        choice_weight: float = 1.0,
        max_new_tokens: int = 40,
        batch_size: int = 32,
        seed: int = 0,
        strength: float = 1.0,
        where: Where = "all",
        bundle: str | None = None,
        coefficients: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, where, bundle, coefficients)
        self.contrasts = contrasts
        self.questions = questions
        self.estimate: RepEEstimate = estimate
        self.layers = None if layers is None else list(layers)
        self.samples = samples
        self.wanted = None if names is None else list(names)
        self.role = role
        self.choices = choices
        self.choice_layers = sorted(set(choice_layers))
        self.choice_weight = choice_weight
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.seed = seed

    def recipe(self) -> dict[str, Any]:
        """Files and options that the directions depend on."""
        names = ("estimate", "layers", "samples", "wanted", "role", "max_new_tokens", "seed")
        files = [Path(self.contrasts), *_question_files(self.questions), *_question_files(self.choices)]
        recipe = {"files": data_hash(files), **{name: getattr(self, name) for name in names}}
        if self.choices is not None:
            recipe |= {"choice_layers": self.choice_layers, "choice_weight": self.choice_weight}
        return recipe

    def learn(self) -> tuple[tuple[str, ...], dict[int, Tensor], dict[str, Any]]:
        """A direction per contrast set and layer.

        Raises:
            InputError: A file is missing or faulty, an option means nothing, or a state is not finite.
        """
        sets = read_contrasts(self.contrasts)
        unknown = [name for name in self.wanted or () if name not in sets]
        if unknown:
            raise self._bad("names", f"names among {', '.join(sets)}", unknown[0])
        chosen = [sets[name] for name in (sets if self.wanted is None else self.wanted)]
        questions = read_questions(self.questions)
        layers = self._layers()
        found = {contrast.name: self._direction(contrast, questions, layers) for contrast in chosen}
        told: dict[str, Any] = {name: _told(of) for name, of in found.items()}
        tables = _tables(list(found.values()), layers)
        if self.choices is not None:
            asked = read_questions(self.choices)
            of_choices = {contrast.name: self._choice_direction(contrast, asked) for contrast in chosen}
            for layer, table in _tables(list(of_choices.values()), self.choice_layers).items():
                tables[layer] = tables.get(layer, torch.zeros_like(table)) + self.choice_weight * table
            told["choices"] = {name: _told(of) for name, of in of_choices.items()}
        return tuple(found), dict(sorted(tables.items())), told

    def _direction(self, contrast: Contrast, questions: Sequence[str], layers: Sequence[int]) -> Directions:
        count = 1 if self.estimate == "single_pair" else self.samples
        positive, negative = contrast_prompts(contrast, questions, count, self.role, self.seed)
        states = self._states([*positive, *negative], layers)
        sides = states[: len(positive)], states[len(positive) :]
        if self.estimate == "persona_vector":
            # An empty answer has no mean; its pair is left out.
            answered = ~(sides[0].isnan() | sides[1].isnan()).flatten(1).any(1)
            sides = sides[0][answered], sides[1][answered]
        simple = self.estimate in ("single_pair", "persona_vector")
        try:
            return contrast_directions(*sides, "mean_difference" if simple else self.estimate)  # type: ignore[arg-type]
        except InputError as error:
            error.file, error.field = self.contrasts, contrast.name
            raise

    def _choice_direction(self, contrast: Contrast, questions: Sequence[str]) -> Directions:
        """The difference of mean states over questions with options."""
        positive, negative = contrast_prompts(contrast, questions, self.samples, self.role, self.seed)
        lm, tokenizer = self.evaluation.lm, self.evaluation.tokenizer
        return contrast_directions(
            *question_means(lm, tokenizer, self.places, positive, negative, self.choice_layers, self.batch_size)
        )

    def _states(self, prompts: Sequence[Chat], layers: Sequence[int]) -> Tensor:
        """States (N, L, D) that sides are compared by."""
        lm, tokenizer = self.evaluation.lm, self.evaluation.tokenizer
        if self.estimate != "persona_vector":
            return prompt_ends(lm, tokenizer, self.places, prompts, layers, self.batch_size)
        answers = generate(
            lm,
            tokenizer,
            prompts,
            max_new_tokens=self.max_new_tokens,
            temperature=1.0,
            seed=self.seed,
            batch_size=self.batch_size,
        )
        chats = [
            [*prompt, {"role": "assistant", "content": answer}] for prompt, answer in zip(prompts, answers, strict=True)
        ]
        return answer_means(lm, tokenizer, self.places, chats, layers, self.batch_size)

    def _layers(self) -> list[int]:
        count = self.places.sites.num_layers
        chosen = range(count // 3, max(count // 3 + 1, 2 * count // 3)) if self.layers is None else self.layers
        for option, layers in (("layers", chosen), ("choice_layers", self.choice_layers)):
            if any(not 0 <= layer < count for layer in layers) or (option == "layers" and not layers):
                raise self._bad(option, f"numbers from 0 to {count - 1}", layers)
        return sorted(set(chosen))

    def _check_options(self) -> None:
        super()._check_options()
        if not math.isfinite(self.choice_weight):
            raise self._bad("choice_weight", "a finite number", self.choice_weight)
        if (self.choices is None) == bool(self.choice_layers):
            raise self._bad("choice_layers", "some layers with choices, and none without", self.choice_layers)
        for option in ("samples", "max_new_tokens", "batch_size"):
            if getattr(self, option) < 1:
                raise self._bad(option, "1 or more", getattr(self, option))


def contrast_prompts(
    contrast: Contrast, questions: Sequence[str], count: int, role: Literal["system", "user"], seed: int
) -> tuple[list[Chat], list[Chat]]:
    """Prompts of both sides: the texts of a pair before the same question.

    Args:
        contrast: The pairs.
        questions: What is asked; nothing makes the texts prompts by themselves.
        count: Number of pairs of prompts; fewer where there are no questions and fewer pairs.
        role: Where the texts stand.
        seed: Seed of which question goes with which pair.

    Returns:
        The positive prompts and, pair by pair, the negative ones.

    Example:
        >>> calm = Contrast("calm", ("You are calm.",), ("You are wild.",))
        >>> positive, negative = contrast_prompts(calm, ["Why?"], 1, "user", 0)
        >>> positive[0][0]["content"], negative[0][0]["content"]
        ('You are calm. Why?', 'You are wild. Why?')
    """
    rng = random.Random(f"{seed}/{contrast.name}")
    pairs = list(zip(contrast.positive, contrast.negative, strict=True))
    rng.shuffle(pairs)
    asked: list[str | None] = list(rng.sample(list(questions), len(questions))) or [None]
    sides: tuple[list[Chat], list[Chat]] = ([], [])
    for number in range(count if questions else min(count, len(pairs))):
        for side, text in zip(sides, pairs[number % len(pairs)], strict=True):
            side.append(_prompt(text, asked[number % len(asked)], role))
    return sides


def read_questions(path: str | None) -> list[str]:
    """Questions of a file of lines with `question`, or of all such files of a folder.

    Raises:
        InputError: There is no such file, or a line has no question.
    """
    return [
        require(record, "question", str, file=file, row=row)
        for file in _question_files(path)
        for row, record in read_json_lines(file)
    ]


def _question_files(path: str | None) -> list[Path]:
    if path is None:
        return []
    place = Path(path)
    return sorted(place.glob("*.json*")) if place.is_dir() else [place]


def _prompt(text: str, question: str | None, role: str) -> Chat:
    if question is None:
        return [{"role": "user", "content": text}]
    asked: Chat = [{"role": "user", "content": question}]
    if role == "system":
        return described_by(text, asked)
    return [{"role": "user", "content": f"{text} {question}"}]


def _tables(found: Sequence[Directions], layers: Sequence[int]) -> dict[int, Tensor]:
    """For each layer a row per direction (P, D)."""
    return dict(zip(layers, torch.stack([of.steps() for of in found]).unbind(1), strict=True))


def _told(found: Directions) -> dict[str, list[float]]:
    """How well a direction tells the sides apart, and how far they lie apart along it, layer by layer."""
    return {
        name: [round(float(value), 4) for value in values]
        for name, values in (("accuracy", found.accuracy), ("gap", found.gaps))
    }
