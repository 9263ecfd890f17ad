"""Steering by features of a sparse autoencoder: found on our own corpus, read from a file, or a background's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from callbacks.contrast_prompts import ContrastPrompts, contrast_prompts, question_files, read_questions
from callbacks.directions import DirectionSteering, Where
from callbacks.feature_finding import find_features, find_prompt_features, read_coefficients, write_findings
from files.assets import asset_path
from files.provenance import data_hash
from interventions.autoencoder_files import StoredAutoencoder, read_autoencoder
from interventions.features import check_autoencoder, feature_direction
from organism.backgrounds import ATTRIBUTES
from personas.backgrounds import read_backgrounds
from personas.contrasts import read_contrasts
from personas.feature_patterns import read_feature_patterns
from personas.traits import BIG_FIVE

BACKGROUND = "background"
FINDINGS = "features.json"


class SAESteering(DirectionSteering):
    """Adds decoder rows of a sparse autoencoder to the output of the block that it encodes.

    The features of a trait are those that tell texts of its two ends apart; each row is added as often as the feature
    is larger at the high end. Found at the end of prompts instead, each end of a trait has features of its own. A
    background takes the features that a published pattern file gives for its attributes, each once; what the file does
    not know is left out and counted.

    Args:
        autoencoder: A SAELens folder or a Gemma-Scope file (.npz, .safetensors); by default the built-in model's own.
        layer: The decoder block whose output it encodes, from 0; by default the one its file names.
        features: A file of features by trait, as an earlier run has written it; found on our own corpus if left out.
        traits: Traits to find features of.
        texts: Texts for each end of each facet that features are found in; or prompts for each end of each trait.
        count: Features for each trait, or for each of its ends.
        contrasts: Descriptions of both ends of traits, to find features at the last token of prompts with them, where
            the answer is about to begin, against the questions alone.
        questions: A file of questions to put after them, or a folder of such files.
        patterns: A pattern file, features by attribute and value, for steering by a background.
        background: From attribute to value; an empty value says nothing.
        people: A published list of backgrounds, in place of `background`.
        person: The number (`idx`) of a person in it.
        batch_size: Texts in one forward pass.
        seed: Seed of the texts.
        strength: Times each coefficient, as in `DirectionSteering`.
        where: As in `DirectionSteering`; published are all tokens of a prompt but its last.
        bundle: As in `DirectionSteering`.
        coefficients: As in `DirectionSteering`.

    Reference:
        Yang et al., What Makes Your Model a Low-empathy or Warmth Person, 2024.
    """

    method = "sae"

    def __init__(
        self,
        autoencoder: str = "assets/tiny-sae",
        layer: int | None = None,
        features: str | None = None,
        traits: Sequence[str] = BIG_FIVE,
        texts: int = 12,
        count: int = 32,
        contrasts: str | None = None,
        questions: str | None = None,
        patterns: str | None = None,
        background: Mapping[str, str] | None = None,
        people: str | None = None,
        person: int | None = None,
        batch_size: int = 32,
        seed: int = 0,
        strength: float = 1.0,
        where: Where = "prompt_but_last",
        bundle: str | None = None,
        coefficients: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(strength, where, bundle, coefficients)
        self.autoencoder = autoencoder
        self.layer = layer
        self.features = features
        self.traits = list(traits)
        self.texts = texts
        self.count = count
        self.contrasts = contrasts
        self.questions = questions
        self.patterns = patterns
        self.background = dict(background or {})
        self.people = people
        self.person = person
        self.batch_size = batch_size
        self.seed = seed
        if patterns is not None:
            self.coefficients.setdefault(BACKGROUND, 1.0)

    def recipe(self) -> dict[str, Any]:
        """Files and options that the directions depend on."""
        names = ("layer", "traits", "texts", "count", "background", "person", "seed")
        given = [self.autoencoder, self.features, self.contrasts, self.patterns, self.people]
        files = [path for name in given if name is not None for path in _files(asset_path(name))]
        files += question_files(self.questions)
        return {"files": data_hash(files), **{name: getattr(self, name) for name in names}}

    def learn(self) -> tuple[tuple[str, ...], dict[int, Tensor], dict[str, Any]]:
        """The direction of each trait, or that of the background.

        Raises:
            InputError: A file is missing or faulty, or the autoencoder does not fit the model.
        """
        stored = read_autoencoder(asset_path(self.autoencoder))
        sites = self.places.sites
        layer = check_autoencoder(stored, self.layer, sites.num_layers, sites.hidden_size)
        if self.patterns is not None:
            chosen, told = self._of_background(stored, layer)
        elif self.features is not None:
            chosen, told = read_coefficients(self.features), {}
        else:
            chosen, told = self._found(stored, layer), {}
        source = self.features or self.patterns or self.autoencoder
        rows = [feature_direction(stored.network, weights, source) for weights in chosen.values()]
        told |= {name: len(weights) for name, weights in chosen.items()}
        return tuple(chosen), {layer: torch.stack(rows)}, told

    def _found(self, stored: StoredAutoencoder, layer: int) -> dict[str, dict[int, float]]:
        """Features found on our own corpus, or in prompts; a table of them is left in the run's folder."""
        lm, tokenizer = self.evaluation.lm, self.evaluation.tokenizer
        network = stored.network.to(lm.device)
        if self.contrasts is not None:
            prompts = self._prompts(self.contrasts)
            found = find_prompt_features(
                lm, tokenizer, self.places, network, layer, prompts, self.count, self.batch_size
            )
        else:
            found = find_features(
                lm,
                tokenizer,
                self.places,
                network,
                layer,
                self.traits,
                texts=self.texts,
                count=self.count,
                batch_size=self.batch_size,
                seed=self.seed,
            )
        if self.folder is not None:
            write_findings(self.folder / FINDINGS, found)
        return {trait: {one.feature: one.coefficient for one in features} for trait, features in found.items()}

    def _prompts(self, contrasts: str) -> dict[str, ContrastPrompts]:
        """Prompts for each trait."""
        sets, questions = read_contrasts(contrasts), read_questions(self.questions)
        unknown = [trait for trait in self.traits if trait not in sets]
        if unknown:
            raise self._bad("traits", f"names among {', '.join(sets)}", unknown[0])
        return {
            trait: contrast_prompts(sets[trait], questions, self.texts, "system", self.seed) for trait in self.traits
        }

    def _of_background(
        self, stored: StoredAutoencoder, layer: int
    ) -> tuple[dict[str, dict[int, float]], dict[str, Any]]:
        """Every feature of the background's attributes once."""
        patterns = read_feature_patterns(str(self.patterns), ATTRIBUTES, layer)
        if patterns.size != stored.network.form.features:
            raise self._bad("patterns", f"a file for {stored.network.form.features} features", patterns.size)
        background = self._person() if self.people is not None else self.background
        features, unknown = patterns.of(background)
        if unknown:
            named = ", ".join(f"{attribute}: {value}" for attribute, value in unknown)
            warnings.warn(f"{len(unknown)} values without a feature are skipped ({named})", stacklevel=2)
        if not features:
            raise self._bad("background", "an attribute with a value that the pattern file knows", background)
        weights = {feature: 1.0 for of_attribute in features.values() for feature in of_attribute}
        return {BACKGROUND: weights}, {"skipped": len(unknown)}

    def _person(self) -> Mapping[str, str]:
        """The attributes of the person asked for."""
        people = {one.name: one.given for one in read_backgrounds(str(self.people)).characters}
        if str(self.person) not in people:
            first, *_, last = [*people, *people]
            raise self._bad("person", f"one of the file's numbers, {first} to {last}", self.person)
        return people[str(self.person)]

    def _check_options(self) -> None:
        super()._check_options()
        for option in ("texts", "count", "batch_size"):
            if getattr(self, option) < 1:
                raise self._bad(option, "1 or more", getattr(self, option))
        if (self.contrasts is None) != (self.questions is None):
            raise self._bad("questions", "questions with contrasts, and none without", self.questions)
        unknown = [name for name in self.background if name not in ATTRIBUTES]
        if unknown:
            raise self._bad("background", f"attributes among {', '.join(ATTRIBUTES)}", unknown[0])


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder."""
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
