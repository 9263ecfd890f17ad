"""The invented characters after each training: one table of what `make characters` has measured.

`python -m benchmarks.characters` reads the evaluations of the base model (`none`), `sft`, `dpo` and `ppo` in `runs/`
and writes `benchmarks/characters.json`. Of each it holds every share of right choices over all items, such as
`stage_preference_dpo`, and of PPO, measured on questions kept for testing with answers drawn as in its training:

- `reward_before`, `reward_after`: mean reward of the answers of the model that PPO began with and of that it ended with
- `reward_gain`: how much the second has more, question by question
- `kl`: divergence of a whole answer from the start, in nats; `kl_target` is what its settings aim at
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.readme import CHARACTER_METHODS as METHODS
from datamodules.prompts import PromptDataModule, prompt_batch
from files.atomic import write_json
from files.errors import InputError, exit_on_input_error
from files.provenance import commit_hash, library_versions
from lightning_modules.experience import predicted
from lightning_modules.fact_reward import FactReward
from lightning_modules.trained import last_checkpoint, load_trained
from lm.loading import LMSpec, load_tokenizer
from lm.passes import evaluating
from lm.prompt_batch import Rollout, roll_out
from metrics.bootstrap import bootstrap_interval
from metrics.persona_dialogue import PersonaDialogueBenchmark
from metrics.result_rows import RESULTS, read_results

RESULT = Path(__file__).with_name("characters.json")
MODEL = "assets/tiny-ocean"
DPO, PPO = Path("configs/dpo/quickstart.yaml"), Path("configs/ppo/quickstart.yaml")
SEED = 11
ANSWERS = 8
"""Answers to each question, for one alone says little of a model that draws its words."""


def evaluated(runs: Path) -> dict[str, Any]:
    """The figures over all items of the four evaluations.

    Args:
        runs: Folder with `persona_dialogue-<method>` in it.

    Raises:
        InputError: An evaluation is missing, or they were of different items.
    """
    figures: dict[str, Any] = {}
    hashes = {}
    for method in METHODS:
        folder = runs / f"{PersonaDialogueBenchmark.name}-{method}"
        if not (folder / RESULTS).is_file():
            command = f"python evaluate.py --config configs/eval/persona_dialogue/{method}.yaml"
            raise InputError("does not exist", file=folder / RESULTS, fix=f"make characters, or {command}")
        for row in read_results(folder / RESULTS):
            hashes[method] = row.raw.get("data_hash")
            if row.plain and row.metric in PersonaDialogueBenchmark.headline:
                name = f"{row.metric}_{method}"
                figures |= {name: row.value, f"{name}_ci": [row.ci_low, row.ci_high], f"{row.metric}_n": row.n}
                figures |= {f"seconds_{method}": row.seconds, f"peak_memory_mb_{method}": row.peak_memory_mb}
    if len(set(hashes.values())) > 1:
        raise InputError("are evaluations of different items", file=runs, got=hashes, fix="evaluate all four again")
    return figures


def rewarded(start: str | Path, end: str | Path, prompts: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What PPO has changed, on questions that it did not train on.

    Args:
        start: Checkpoint that it began with.
        end: Checkpoint that it ended with.
        prompts: The questions, as records of the invented characters.
        settings: Of the recipe: `rollouts` and `ppo`.
    """
    spec = LMSpec(MODEL)
    tokenizer = load_tokenizer(spec)
    data = PromptDataModule(spec, str(prompts))
    data.setup("test")
    batch = prompt_batch(data.prompts).repeated(ANSWERS)
    temperature = float(settings["rollouts"].get("temperature", 1.0))
    before, after = load_trained(start, spec).model, load_trained(end, spec).model

    def answered(lm: Any) -> tuple[Rollout, Tensor]:
        rollout = roll_out(
            lm,
            tokenizer,
            batch.prompts,
            max_new_tokens=int(settings["rollouts"]["max_new_tokens"]),
            temperature=temperature,
            top_p=1.0,
            seed=SEED,
            batch_size=64,
        )
        return rollout, torch.tensor(FactReward().score(batch.prompts, rollout.texts, batch.records))

    first = answered(before)[1]
    rollout, last = answered(after)
    with evaluating(after), evaluating(before):
        new, old = (predicted(lm, None, rollout, temperature).log_probs for lm in (after, before))
    kl = ((new - old) * rollout.answer_mask).sum(1)
    of_answers = {"reward_before": first, "reward_after": last, "reward_gain": last - first, "kl": kl}
    figures: dict[str, Any] = {"kl_target": float(settings["ppo"]["kl_target"]), "reward_n": len(data.prompts)}
    for name, values in of_answers.items():
        # The answers to one question are no draws of their own.
        interval = bootstrap_interval(values.double().view(-1, ANSWERS).mean(1))
        figures |= {name: interval.value, f"{name}_ci": [interval.low, interval.high]}
    return figures


def shown(figures: dict[str, Any]) -> Table:
    """The table base / SFT / SFT + DPO / PPO."""
    table = Table("figure", *METHODS.values())
    for metric in PersonaDialogueBenchmark.headline:
        table.add_row(metric, *(f"{figures[f'{metric}_{method}']:.3f}" for method in METHODS))
    table.add_row("reward", "", "", f"{figures['reward_before']:.3f}", f"{figures['reward_after']:.3f}")
    table.add_row("kl from the start of PPO", "", "", "", f"{figures['kl']:.2f} (target {figures['kl_target']:g})")
    return table


@exit_on_input_error()
def main(arguments: Sequence[str]) -> None:
    """Collect the figures, print the table and write the file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.characters", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the evaluations are")
    parser.add_argument("--start", help=f"checkpoint that PPO began with (default: the last one of {DPO})")
    parser.add_argument("--end", help=f"checkpoint that PPO ended with (default: the last one of {PPO})")
    parser.add_argument(
        "--prompts", type=Path, default=Path("runs/annotation/test.jsonl"), help="questions (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go (default: %(default)s)")
    options = parser.parse_args(arguments)
    settings = yaml.safe_load(PPO.read_text(encoding="utf-8"))["model"]["init_args"]
    figures = evaluated(options.runs)
    start, end = options.start or last_checkpoint(str(DPO)), options.end or last_checkpoint(str(PPO))
    figures |= rewarded(start, end, options.prompts, settings)
    figures |= {"versions": library_versions(), "commit": commit_hash()}
    write_json(options.output, figures)
    console = Console()
    console.print(shown(figures))
    console.print(f"written to {options.output}")


if __name__ == "__main__":
    main(sys.argv[1:])
