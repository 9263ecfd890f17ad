"""Classifiers that read a trait off a text: loading, what their labels mean, probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from files.assets import asset_path
from files.errors import InputError
from lm.adapters import seeded
from lm.loading import LMSpec, explained, load_tokenizer
from lm.passes import evaluating

NEUTRAL = "neutral"
"""Label of a text in which no trait shows."""

_SAID = re.compile(r"(?:(?P<side>high|low)[ _-])?(?P<trait>[a-z]+)(?P<sign>[+-])?")


@dataclass
class ClassifierSpec:
    """Which classifier reads traits off texts, and how.

    Attributes:
        name: A folder with config.json and safetensors weights, or a model name on the Hugging Face hub.
        labels: What the labels of its config mean, such as `{LABEL_0: extraversion+}`: a trait followed by + or -, or
            neutral. It may be left out where the labels say so themselves.
        max_tokens: Longer texts are cut off at their end.
        batch_size: Texts per forward pass.
        revision: Branch, tag or commit on the hub.
    """

    name: str
    labels: dict[str, str] | None = None
    max_tokens: int = 256
    batch_size: int = 64
    revision: str | None = None


class TraitClassifier:
    """Says with which probability a text is one of some poles, or neutral.

    Args:
        spec: The classifier.
        traits: Names of the traits that there are.

    Raises:
        InputError: It cannot be loaded, or its labels are no poles of these traits.

    Attributes:
        poles: What it tells apart: a trait with + or - each, or `neutral`; in the order of its outputs.
    """

    def __init__(self, spec: ClassifierSpec, traits: Sequence[str]) -> None:
        self.spec = spec
        self.model = load_classifier(spec)
        self.tokenizer = load_tokenizer(LMSpec(_resolved(spec), revision=spec.revision))
        self.poles = poles_of(self.model.config.id2label, spec.labels, traits, spec.name)

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Probability of each pole for each text, in float64 on the CPU; independent of what else is in the batch.

        Args:
            texts: N texts; one of white space alone is taken for a text without words.

        Returns:
            (N, K), rows sum to 1; K poles in the order of `poles`.
        """
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        result = torch.zeros(len(texts), len(self.poles), dtype=torch.float64)
        for start in range(0, len(order), self.spec.batch_size):
            places = order[start : start + self.spec.batch_size]
            batch = encoded_texts(self.tokenizer, [texts[place] for place in places], self.spec.max_tokens)
            with evaluating(self.model):
                logits = self.model(**{name: part.to(self.model.device) for name, part in batch.items()}).logits
            result[places] = logits.double().softmax(-1).cpu()
        return result


def encoded_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int) -> dict[str, Tensor]:
    """Texts as padded ids and masks (B, T); a text without a token becomes one padding token that is attended to."""
    batch = tokenizer(
        list(texts),
        padding=True,
        truncation=True,
        max_length=max_tokens,
        padding_side="right",
        return_tensors="pt",
        return_token_type_ids=False,
    )
    ids, mask = batch["input_ids"].long(), batch["attention_mask"].long()
    if ids.shape[1] == 0:
        ids = torch.full((len(texts), 1), int(tokenizer.pad_token_id))
        mask = torch.zeros_like(ids)
    mask[:, 0] = 1
    return {"input_ids": ids, "attention_mask": mask}


def load_classifier(
    spec: ClassifierSpec, *, labels: Sequence[str] | None = None, random_init: bool = False, seed: int = 0
) -> PreTrainedModel:
    """A classifier in float32 and in eval mode.

    No code from a model folder is run, and weights are read from safetensors only.

    Args:
        spec: The classifier.
        labels: Give it a new head with these labels, to be trained; by default it keeps its own.
        random_init: Take only the settings from the folder and draw the weights at random.
        seed: Seed of what is drawn.

    Raises:
        InputError: It is not there, or weights are missing or unreadable.
    """
    name = _resolved(spec)
    options: dict[str, Any] = {"revision": spec.revision, "trust_remote_code": False}
    if labels is not None:
        options["id2label"] = dict(enumerate(labels))
        options["label2id"] = {label: number for number, label in enumerate(labels)}
    with explained(spec.name, "the classifier cannot be loaded"), seeded(seed):
        config = AutoConfig.from_pretrained(name, **options)
        if random_init:
            model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
            absent: list[str] = []
        else:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                name,
                config=config,
                dtype=torch.float32,
                revision=spec.revision,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=labels is not None,
                output_loading_info=True,
            )
            absent = sorted(report["missing_keys"])
    if absent and labels is None:
        raise InputError(
            "weights of the classifier are missing",
            file=spec.name,
            expected="a weight for every parameter of a sequence classifier",
            got=absent[:3],
            fix="give a model that was trained as a classifier, or train one with lightning_modules.classifier",
        )
    return model.eval()


def poles_of(
    id2label: Mapping[int, str], meanings: Mapping[str, str] | None, traits: Sequence[str], name: str
) -> tuple[str, ...]:
    """What each output of a classifier stands for, from the labels in its config.

    Args:
        id2label: The config's labels by output.
        meanings: What the labels mean; None where they say so themselves.
        traits: Names of the traits that there are.
        name: The classifier, for errors.

    Returns:
        For each output a pole such as `openness-`, or `neutral`.

    Raises:
        InputError: A label has no meaning, a meaning is no pole, or two labels mean the same.

    Example:
        >>> poles_of({0: "Extraversion", 1: "low openness", 2: "neutral"}, None, ("openness", "extraversion"), "here")
        ('extraversion+', 'openness-', 'neutral')
    """
    found = [str(id2label[number]) for number in sorted(id2label)]
    unknown = sorted(set(meanings or {}) - set(found))
    if unknown:
        raise _bad_labels("has no such label", name, f"some of {', '.join(found)}", unknown)
    said = [(meanings or {}).get(label, label) for label in found]
    poles = [_pole(text, traits) for text in said]
    strange = [text for text, pole in zip(said, poles, strict=True) if pole is None]
    if strange or len(set(poles)) < len(poles):
        problem = "has labels that name no trait" if strange else "has two labels of one meaning"
        expected = f"for each label one of {', '.join(traits)} with + or -, or {NEUTRAL}"
        raise _bad_labels(problem, name, expected, strange or said)
    return tuple(pole for pole in poles if pole is not None)


def head_of(model: PreTrainedModel) -> nn.Linear:
    """The last layer of a classifier, which yields a number per label.

    Raises:
        InputError: There is no such layer.
    """
    outputs = int(model.config.num_labels)
    heads = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == outputs]
    if not heads:
        raise InputError(
            "the model has no linear layer with an output per label",
            field="model.init_args.lm.name",
            expected="a sequence classifier of transformers",
            got=type(model).__name__,
        )
    return heads[-1]


def _pole(text: str, traits: Sequence[str]) -> str | None:
    """The pole that a label names; None for any other text."""
    plain = text.strip().lower()
    if plain == NEUTRAL:
        return NEUTRAL
    match = _SAID.fullmatch(plain)
    if match is None or match["trait"] not in traits or (match["side"] and match["sign"]):
        return None
    low = match["side"] == "low" or match["sign"] == "-"
    return f"{match['trait']}{'-' if low else '+'}"


def _resolved(spec: ClassifierSpec) -> str:
    """The folder or hub name of a classifier; refuses a folder that is not there."""
    folder = asset_path(spec.name)
    if folder.is_dir():
        return str(folder)
    if spec.name.count("/") <= 1 and not spec.name.startswith((".", "/", "~", "assets/")):
        return spec.name
    raise InputError(
        "no such classifier",
        file=spec.name,
        field="--classifier.name",
        expected="a folder with config.json and safetensors weights, or a model name on the hub",
        fix="check the path, or run make classifier for the built-in one",
    )


def _bad_labels(problem: str, name: str, expected: str, got: object) -> InputError:
    return InputError(
        f"the classifier {problem}",
        file=name,
        field="--classifier.labels",
        expected=expected,
        got=got,
        fix="map its labels, such as --classifier.labels '{LABEL_0: extraversion+, LABEL_1: agreeableness+}'",
    )
