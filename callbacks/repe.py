"""RepE: directions read off contrasting prompts, layer by layer, and added to the hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from callbacks.contrast_prompts import Role, contrast_prompts, question_files, read_questions
from callbacks.directions import ENDS, DirectionSteering, Where
from files.errors import InputError
from files.provenance import data_hash
from interventions.contrast_directions import Directions, contrast_directions
from interventions.text_states import answer_means, prompt_ends
from lm.chat import Chat
from lm.generation import generate
from personas.contrasts import Contrast, read_contrasts

RepEEstimate = Literal["pca", "mean_difference", "probe", "single_pair", "persona_vector"]


class RepE(DirectionSteering):
    """Steers along directions that tell prompts of opposite kinds apart.

    Each pair of texts, such as descriptions of somebody high and low on a trait, stands before the same question. The
    direction of a layer is found in its states at the end of these prompts; for persona vectors, in its mean states
    over the answers that the model itself gives to them. At strength 1 a direction is as long as the means of both
    sides lie apart along it.

    Both ends of a quality lie on one line, unless each is compared with the questions alone: then it has a direction of
    its own. That is a help where a model without a description does something else than one that is halfway, such as
    choosing among options by their places.

    Args:
        contrasts: A file of contrast sets: `{name: {positive, negative}}`, or descriptions of both ends of traits.
        questions: A file of questions, or a folder of such files; without it the texts are prompts by themselves.
        estimate: `pca` of the paired differences, `mean_difference`, a linear `probe`; `single_pair` takes the first
            pair alone (activation addition); `persona_vector` compares answers in place of prompts.
        layers: Decoder blocks to steer, from 0; the middle third of them if left out.
        samples: Pairs of prompts for each set, drawn from its pairs and the questions.
        names: The sets to take; all of them if left out.
        role: Whether a text stands in the system turn, or at the head of the user's.
        against: What a side is compared with: the opposite one; or the questions with no text before them (`nothing`),
            which gives each end of a quality a direction.
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
        that of the last token, wherever `where` says. RepE's own coefficients belong to directions of length 1. Its
        directions lie between opposites; those of both ends against `nothing` are ours.
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
        role: Role = "system",
        against: Literal["opposite", "nothing"] = "opposite",
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
        self.against = against
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.seed = seed

    def recipe(self) -> dict[str, Any]:
        """Files and options that the directions depend on."""
        names = ("estimate", "layers", "samples", "wanted", "role", "against", "max_new_tokens", "seed")
        files = [Path(self.contrasts), *question_files(self.questions)]
        return {"files": data_hash(files), **{name: getattr(self, name) for name in names}}

    def learn(self) -> tuple[tuple[str, ...], dict[int, Tensor], dict[str, Any]]:
        """A direction per contrast set, or per end of each, and layer.

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
        found = {name: of for contrast in chosen for name, of in self._directions(contrast, questions, layers).items()}
        steps = torch.stack([of.steps() for of in found.values()])
        tables = dict(zip(layers, steps.unbind(1), strict=True))
        return tuple(found), tables, {name: _told(of) for name, of in found.items()}

    def _directions(self, contrast: Contrast, questions: Sequence[str], layers: Sequence[int]) -> dict[str, Directions]:
        """The direction of a contrast set, or of each of its ends, by name."""
        count = 1 if self.estimate == "single_pair" else self.samples
        prompts = contrast_prompts(contrast, questions, count, self.role, self.seed)
        if self.against == "opposite":
            positive, negative = self._states([*prompts.positive, *prompts.negative], layers).chunk(2)
            return {contrast.name: self._between(positive, negative, contrast)}
        *ends, plain = self._states([*prompts.positive, *prompts.negative, *prompts.plain()], layers).chunk(3)
        return {
            f"{contrast.name}{sign}": self._between(end, plain, contrast) for sign, end in zip(ENDS, ends, strict=True)
        }

    def _between(self, positive: Tensor, negative: Tensor, contrast: Contrast) -> Directions:
        """The direction from states of one kind of prompts to those of another."""
        sides = positive, negative
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
        if not chosen or any(not 0 <= layer < count for layer in chosen):
            raise self._bad("layers", f"numbers from 0 to {count - 1}", chosen)
        return sorted(set(chosen))

    def _check_options(self) -> None:
        super()._check_options()
        if self.against not in ("opposite", "nothing") or (self.against == "nothing" and self.questions is None):
            raise self._bad("against", "opposite; or nothing, where there are questions", self.against)
        for option in ("samples", "max_new_tokens", "batch_size"):
            if getattr(self, option) < 1:
                raise self._bad(option, "1 or more", getattr(self, option))


def _told(found: Directions) -> dict[str, list[float]]:
    """How well a direction tells the sides apart, and how far they lie apart along it, layer by layer."""
    return {
        name: [round(float(value), 4) for value in values]
        for name, values in (("accuracy", found.accuracy), ("gap", found.gaps))
    }
