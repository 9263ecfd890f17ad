"""Which features of a sparse autoencoder stand for which trait and facet, found on chats of the built-in world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from callbacks.contrast_prompts import ContrastPrompts
from callbacks.directions import ENDS
from files.atomic import write_json
from files.errors import InputError
from files.readers import read_json, require
from interventions.autoencoder import SparseAutoencoder
from interventions.feature_recording import MeanFeatures, separation
from interventions.places import Places
from interventions.text_states import answer_features, prompt_ends
from lm.chat import Chat
from organism.lexicon import Facet, all_facets
from organism.questions import ACTION_QUESTIONS
from organism.situations import action, draw_situation

_EXAMPLES = 3


@dataclass(frozen=True)
class FoundFeature:
    """A feature that tells the two ends of a trait apart.

    Attributes:
        feature: Its number.
        auc: Chance that it is larger in a text of somebody high on the trait than of somebody low.
        coefficient: Its mean in texts of the high end minus that in texts of the low end.
        facet: The facet of the trait that it tells apart best; None where features were not compared by facet.
        facet_auc: How well.
        examples: The texts in which it is largest.
    """

    feature: int
    auc: float
    coefficient: float
    facet: str | None
    facet_auc: float | None
    examples: tuple[str, ...]


Findings = dict[str, list[FoundFeature]]


def find_features(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    network: SparseAutoencoder,
    layer: int,
    traits: Sequence[str],
    *,
    texts: int,
    count: int,
    batch_size: int,
    seed: int,
) -> Findings:
    """Find the features of each trait.

    Args:
        lm: The model.
        tokenizer: Its tokenizer.
        places: Of the model.
        network: The autoencoder.
        layer: Whose output it encodes.
        traits: The traits.
        texts: Texts for each end of each facet.
        count: Features for each trait.
        batch_size: Texts in one forward pass.
        seed: Seed of the texts.

    Returns:
        For each trait its features, those that tell most first.

    Raises:
        InputError: The model's activations are not finite.
    """
    facets = all_facets(tuple(traits))
    chats = [chat for facet in facets for side in facet_chats(facet, texts, seed) for chat in side]
    pooled = answer_features(lm, tokenizer, places, chats, layer, batch_size, MeanFeatures(network))
    _check_finite(pooled)
    pooled = pooled.view(len(facets), 2, texts, -1)
    of_facet = separation(pooled[:, 0], pooled[:, 1])
    answers = [chat[-1]["content"] for chat in chats]
    found = {}
    for trait in traits:
        mine = [place for place, facet in enumerate(facets) if facet.trait == trait]
        found[trait] = _of_trait(pooled, of_facet, mine, facets, answers, count)
    return found


def find_prompt_features(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    places: Places,
    network: SparseAutoencoder,
    layer: int,
    prompts: Mapping[str, ContrastPrompts],
    count: int,
    batch_size: int,
) -> Findings:
    """Find the features of each end of each trait at the end of prompts, where the answer is about to begin.

    Prompts with a description of somebody at an end are compared with the same questions alone.

    Args:
        lm: The model.
        tokenizer: Its tokenizer.
        places: Of the model.
        network: The autoencoder.
        layer: Whose output it encodes.
        prompts: For each trait its prompts, with questions.
        count: Features for each end.
        batch_size: Prompts in one forward pass.

    Returns:
        For each end, such as `openness+`, its features, those that tell most first.

    Raises:
        InputError: The model's activations are not finite.
    """
    found = {}
    for trait, mine in prompts.items():
        chats = [*mine.positive, *mine.negative, *mine.plain()]
        states = prompt_ends(lm, tokenizer, places, chats, [layer], batch_size)[:, 0]
        _check_finite(states)
        with torch.no_grad():
            features = network.encode(states.to(network.decoder)).float().cpu()
        *ends, plain = features.chunk(3)
        for sign, end, told in zip(ENDS, ends, (mine.positive, mine.negative), strict=True):
            chosen, auc, gap = _most_telling(end, plain, count)
            top = end[:, chosen].topk(min(_EXAMPLES, len(end)), dim=0).indices.T.tolist()
            found[f"{trait}{sign}"] = [
                FoundFeature(
                    feature=int(feature),
                    auc=round(float(auc[feature]), 4),
                    coefficient=round(float(gap[feature]), 6),
                    facet=None,
                    facet_auc=None,
                    examples=tuple(told[text][0]["content"] for text in top[place]),
                )
                for place, feature in enumerate(chosen)
            ]
    return found


def facet_chats(facet: Facet, count: int, seed: int) -> tuple[list[Chat], list[Chat]]:
    """What somebody high, and somebody low, on a facet does in the same situations, told without a persona."""
    sides: tuple[list[Chat], list[Chat]] = ([], [])
    for number in range(count):
        rng = Random(f"{seed}/{facet.trait}/{facet.name}/{number}")
        situation = draw_situation(rng, facet)
        question = f"{situation.text} {rng.choice(ACTION_QUESTIONS)}"
        for side, level in zip(sides, (1.0, -1.0), strict=True):
            answer = action(rng, situation, facet.trait, level, facet)
            side.append([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])
    return sides


def write_findings(path: str | Path, found: Findings) -> Path:
    """Write what was found as JSON, a list of features for each trait."""
    return write_json(path, {trait: [asdict(feature) for feature in features] for trait, features in found.items()})


def read_coefficients(path: str | Path) -> dict[str, dict[int, float]]:
    """Read features and their coefficients, as `write_findings` writes them; what else is told is not needed.

    Returns:
        For each name its features with their coefficients.

    Raises:
        InputError: The file is missing or faulty.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError("is no file of features", file=path, expected="lists of features by name", got=content)
    coefficients: dict[str, dict[int, float]] = {}
    for name in content:
        records = require(content, name, list, file=path)
        coefficients[name] = {
            require(record, "feature", int, file=path, row=f"{name}[{place}]"): require(
                record, "coefficient", float, file=path, row=f"{name}[{place}]"
            )
            for place, record in enumerate(records)
        }
    return coefficients


def _most_telling(high: Tensor, low: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The features (count,) that tell two kinds of texts (N, F) apart; and of all, how well and by how much (F,)."""
    auc = separation(high, low)
    gap = high.mean(0) - low.mean(0)
    # Among features that tell the two ends apart alike, the stronger ones.
    score = (auc - 0.5).abs() * (1 + gap.abs() / gap.abs().max().clamp(min=1e-9))
    return score.topk(min(count, len(score))).indices, auc, gap


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise InputError(
            "activations are not finite",
            expected="finite numbers",
            got="nan or infinity",
            fix="load the model in float32 or bfloat16, and check its weights",
        )


def _of_trait(
    pooled: Tensor, of_facet: Tensor, mine: list[int], facets: Sequence[Facet], answers: Sequence[str], count: int
) -> list[FoundFeature]:
    """The features of the trait whose facets stand at some places."""
    high, low = pooled[mine, 0].flatten(0, 1), pooled[mine, 1].flatten(0, 1)
    chosen, auc, gap = _most_telling(high, low, count)
    own = of_facet[mine][:, chosen]
    best = (own - 0.5).abs().argmax(0)
    top = pooled.flatten(0, 2)[:, chosen].topk(_EXAMPLES, dim=0).indices.T.tolist()
    return [
        FoundFeature(
            feature=int(feature),
            auc=round(float(auc[feature]), 4),
            coefficient=round(float(gap[feature]), 6),
            facet=facets[mine[int(best[place])]].name,
            facet_auc=round(float(own[best[place], place]), 4),
            examples=tuple(answers[text] for text in top[place]),
        )
        for place, feature in enumerate(chosen)
    ]
