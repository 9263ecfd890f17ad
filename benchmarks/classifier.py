"""Publish the built-in classifier of traits: calibrated weights, its check on held-out texts, its model card.

`python -m benchmarks.classifier` (the second half of `make classifier`) takes the last checkpoint of
`configs/classifier/quickstart.yaml` and writes `assets/tiny-classifier`. The check is on held-out texts other than
those that the classifier was calibrated on: `check.json` holds

- `accuracy`: share of texts whose likeliest label is right, of all eleven
- `calibration_error`: how far probabilities are from the share of texts that are right (expected calibration error)
- `acc_of_three`: the same among the high poles of PersonalityEdit's three traits, on texts of those poles
- `recall`: by label, the share of its texts that are recognised
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from callbacks.save_pretrained import export_model
from files.atomic import atomic_write_text, write_json
from files.errors import InputError, exit_on_input_error
from files.provenance import commit_hash, library_versions
from lightning_modules.base import HEADER
from lightning_modules.classifier import ClassifierModule
from lightning_modules.trained import last_checkpoint, read_checkpoint, rebuilt
from lm.classifier import ClassifierSpec, TraitClassifier
from lm.loading import LMSpec
from metrics.bootstrap import bootstrap_interval
from organism.labelled_texts import LABELS, labelled_text
from personas.traits import TRAITS

OUT = Path("assets/tiny-classifier")
RECIPE = "configs/classifier/quickstart.yaml"
LARGEST_WEIGHTS = 4 * 2**20
THREE = ("extraversion+", "agreeableness+", "neuroticism+")
BINS = 15
_CARD = """\
# tiny-classifier

Reads a trait off a text of the built-in world: five traits, high and low, and neutral. {parameters:.2f}M parameters
({architecture}); `AutoModelForSequenceClassification` loads it. `config.json` names its labels.

It was trained from random weights by `make classifier` on opinions and actions that `organism/` generates, and knows
the words of that small made-up world and nothing else: it says nothing about texts of other models. A temperature of
{temperature:.3f}, fitted to held-out texts, is part of its last layer.

## Check

On {texts} further held-out texts, whose topics, wordings and situations never occur in training:

| figure | value [95 % interval] |
|---|---|
| accuracy, eleven labels | {accuracy:.3f} [{accuracy_ci[0]:.3f}, {accuracy_ci[1]:.3f}] |
| accuracy among three high poles | {acc_of_three:.3f} [{acc_of_three_ci[0]:.3f}, {acc_of_three_ci[1]:.3f}] |
| expected calibration error, {bins} bins | {calibration_error:.4f} |
| lowest recall of a label | {lowest:.3f} |
"""


def classifier_of(checkpoint: str) -> ClassifierModule:
    """The trained module of a checkpoint.

    Raises:
        InputError: It is no checkpoint of a classifier.
    """
    content = read_checkpoint(checkpoint)
    if content[HEADER].get("method") != "classifier":
        raise InputError(
            "is of another method", file=checkpoint, expected="classifier", got=content[HEADER].get("method")
        )
    given = content[HEADER]["settings"]["lm"]
    kept = ("name", "random_init", "tokenizer", "revision", "seed")
    return cast(ClassifierModule, rebuilt(checkpoint, LMSpec(**{name: given[name] for name in kept})))


def calibrated(checkpoint: str) -> ClassifierModule:
    """The trained module of a checkpoint, whose temperature its training has fitted.

    Raises:
        InputError: It is no checkpoint of a classifier, or was written before any validation.
    """
    module = classifier_of(checkpoint)
    if module.temperature.item() == 1.0:
        raise InputError(
            "was never calibrated",
            file=checkpoint,
            expected="the end of a training, whose last validation has fitted a temperature",
            fix=f"let the training reach its end, with validation: python train.py fit --config {RECIPE}",
        )
    return module


def checked(folder: Path, texts: int, seed: int) -> dict[str, Any]:
    """The figures of a classifier on held-out texts.

    Args:
        folder: The classifier.
        texts: How many.
        seed: Of which stream.
    """
    classifier = TraitClassifier(ClassifierSpec(str(folder)), TRAITS)
    if classifier.poles != LABELS:
        raise InputError("has other labels", file=folder, expected=", ".join(LABELS), got=classifier.poles)
    said, labels = zip(*(labelled_text(seed, number, "held_out") for number in range(texts)), strict=True)
    shares, wanted = classifier.probabilities(said), torch.tensor(labels)
    right = (shares.argmax(-1) == wanted).double()
    three = torch.tensor([LABELS.index(label) for label in THREE])
    of_three = torch.isin(wanted, three)
    among = (three[shares[of_three][:, three].argmax(-1)] == wanted[of_three]).double()
    recall = {label: right[wanted == number].mean().item() for number, label in enumerate(LABELS)}
    return {
        **_with_interval("accuracy", right),
        **_with_interval("acc_of_three", among),
        "calibration_error": multiclass_calibration_error(shares, wanted, len(LABELS), n_bins=BINS).item(),
        "recall": recall,
        "texts": texts,
        "seed": seed,
    }


def _with_interval(name: str, values: Tensor) -> dict[str, Any]:
    interval = bootstrap_interval(values)
    return {name: interval.value, f"{name}_ci": [interval.low, interval.high]}


@exit_on_input_error()
def main(arguments: Sequence[str]) -> None:
    """Export, check, write the card."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.classifier", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--ckpt_path", help=f"checkpoint (default: the last one of {RECIPE})")
    parser.add_argument(
        "--out", type=Path, default=Path("assets/tiny-classifier"), help="where to (default: %(default)s)"
    )
    parser.add_argument("--texts", type=int, default=2200, help="texts of the check (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of these texts (default: %(default)s)")
    options = parser.parse_args(arguments)
    module, commit = calibrated(options.ckpt_path or last_checkpoint(RECIPE)), commit_hash()  # before files change
    export_model(module.calibrated(), module.tokenizer, options.out, torch.float16)
    weights = (options.out / "model.safetensors").stat().st_size
    if weights > LARGEST_WEIGHTS:
        raise InputError("the weights are too large", file=options.out, expected="at most 4 MB", got=weights)
    figures = checked(options.out, options.texts, options.seed)
    temperature = module.temperature.item()
    write_json(
        options.out / "check.json",
        {**figures, "temperature": temperature, "versions": library_versions(), "commit": commit},
    )
    card = _CARD.format(
        **figures,
        temperature=temperature,
        parameters=sum(parameter.numel() for parameter in module.lm.parameters()) / 1e6,
        architecture=type(module.lm).__name__,
        bins=BINS,
        lowest=min(figures["recall"].values()),
    )
    atomic_write_text(options.out / "README.md", card)
    console = Console()
    for name in ("accuracy", "acc_of_three", "calibration_error"):
        console.print(f"{name:>20} {figures[name]:.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
