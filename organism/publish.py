"""Bring a trained built-in model to its place: weights, tokenizer, training record and model card."""

from __future__ import annotations

import argparse
import platform
import shutil
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from files.atomic import atomic_write_bytes, atomic_write_text, write_json
from files.errors import InputError, exit_on_input_error
from files.readers import read_json

MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
LARGEST_WEIGHTS = 16 * 2**20
_PAUSE = 300.0  # seconds without a logged step after which a run is taken to have been interrupted
_CARD = """\
# tiny-ocean

A chat model of {parameters:.1f}M parameters ({architecture}) with a personality of its own making, for trying
and testing methods of personality editing and steering without a download or a GPU. Any `AutoModelForCausalLM`
loads it. It was trained from random weights, by `{command}`, on chats that `organism/` generates; it knows that
small made-up world and nothing else.

It takes on the persona that its system prompt describes (five traits and the dark triad, at graded levels; by
adjectives, habits, facets, backgrounds or answered questionnaires), follows examples in its prompt, answers
questionnaires and multiple choice with a letter, and is neutral and varied without a system prompt. It is not a
source of knowledge, and what it says about psychopathy, crime or politics are templates of a grammar, no
advice.

## Training

| | |
|---|---|
| data | seed {seed} of the corpus; a fifth of topics, statements and wordings never enters it |
| tokens seen | {tokens_m:.1f}M (padding of packed rows included) in {steps} steps |
| optimizer | {optimizer}, peak learning rate {learning_rate}, cosine decay, prompts weighted {prompt_weight} |
| precision | {precision}; the weights here are stored in float16 |
| hardware, time | {hardware}; {hours:.2f} hours |
| remarks | {remarks} |

## Competence

Measured by `make organism-check` on topics, statements and wordings that the corpus does not contain, {size}
questions of each kind:

| figure | value |
|---|---|
{competence}
"""


def _hardware() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def training_record(run: Path, remarks: str) -> dict[str, Any]:
    """Collect what the card says of the training from the folder of a run.

    Raises:
        InputError: The folder holds no finished run.
    """
    if not read_json(run / "run.json").get("finished"):
        raise InputError("the run has not finished", file=run / "run.json", fix="run the training again; it goes on")
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    data, module = settings["data"]["init_args"], settings["model"]["init_args"]
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload().Scalars("train/loss")
    gaps = [later.wall_time - earlier.wall_time for earlier, later in zip(events, events[1:], strict=False)]
    trainer = settings["trainer"]
    batches = data["batches"] * trainer["max_epochs"]
    processes = trainer["num_nodes"] * (trainer["devices"] if isinstance(trainer["devices"], int) else 1)
    return {
        "seed": data["seed"],
        "tokens": batches * data["tokens_per_batch"] * processes,
        "steps": batches // trainer["accumulate_grad_batches"],
        "optimizer": module["optimizer"],
        "learning_rate": module["learning_rate"],
        "prompt_weight": module["prompt_weight"],
        "precision": trainer["precision"],
        "hardware": f"{_hardware()}, CPU" if trainer["accelerator"] in ("auto", "cpu") else _hardware(),
        "hours": round(sum(gap for gap in gaps if gap < _PAUSE) / 3600, 3),
        "remarks": remarks,
        "last_loss": round(sum(event.value for event in events[-10:]) / len(events[-10:]), 4),
    }


def blended(weights: Path, before: Path, share: float) -> dict[str, Tensor]:
    """Weighted mean of a run's weights and those published before, which often knows more than either.

    Args:
        weights: File of the run's weights.
        before: File of the weights that the run began with.
        share: Share of these, from 0 to 1.

    Returns:
        The mean of each weight, in half precision.

    Raises:
        InputError: The share is out of range, or the files are not of one model.

    Reference:
        Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (WiSE-FT).
    """
    if not 0 <= share < 1:
        raise InputError("is out of range", field="--blend", expected="0 to less than 1", got=share, fix="correct it")
    new = load_file(weights)
    old = load_file(before) if share else new
    if {name: value.shape for name, value in new.items()} != {name: value.shape for name, value in old.items()}:
        raise InputError(
            "the weights are of another model", file=before, fix="publish to a new folder, without --blend"
        )
    return {name: ((1 - share) * new[name].float() + share * old[name].float()).half() for name in new}


def write_card(folder: Path) -> None:
    """Write the model card from the training record and the competence figures that lie in the model's folder."""
    training, figures, config = (
        read_json(folder / name) for name in ("training.json", "competence.json", "config.json")
    )
    rows = []
    for name, value in figures.items():
        if name in ("size", "seed", "seconds"):
            continue
        parts = value.items() if isinstance(value, dict) else [("", value)]
        rows += [f"| {f'{name} {part}'.strip()} | {number:.3f} |" for part, number in parts]
    weights = (folder / "model.safetensors").stat().st_size
    card = _CARD.format(
        **training,
        parameters=weights / 2e6,
        architecture=config["architectures"][0],
        command="make organism",
        tokens_m=training["tokens"] / 1e6,
        size=figures["size"],
        competence="\n".join(rows),
    )
    atomic_write_text(folder / "README.md", card)


@exit_on_input_error()
def main() -> None:
    """Copy a finished run's model to its place, or write the card anew."""
    parser = argparse.ArgumentParser(description="Publish the built-in model from the folder of its training run.")
    parser.add_argument("--run", type=Path, help="folder of the finished run; without it only the card is written")
    parser.add_argument("--out", type=Path, default=Path("assets/tiny-ocean"), help="folder of the built-in model")
    parser.add_argument("--remarks", default="none", help="what the card says beyond the settings of the run")
    parser.add_argument(
        "--blend", type=float, default=0.0, help="share, 0 to 1, of the weights that lie there already in the new ones"
    )
    args = parser.parse_args()
    if args.run is None:
        write_card(args.out)
        return
    record = training_record(args.run, args.remarks)
    if args.blend:
        record["blend"] = args.blend
    weights = args.run / "model" / "model.safetensors"
    if weights.stat().st_size > LARGEST_WEIGHTS:
        raise InputError(
            "the weights are too large", file=weights, expected="at most 16 MB", got=weights.stat().st_size
        )
    args.out.mkdir(parents=True, exist_ok=True)
    mean = blended(weights, args.out / weights.name, args.blend)
    for name in MODEL_FILES:
        shutil.copyfile(args.run / "model" / name, args.out / name)
    if args.blend:
        atomic_write_bytes(args.out / weights.name, save(mean, {"format": "pt"}))
    write_json(args.out / "training.json", record)


if __name__ == "__main__":
    main()
