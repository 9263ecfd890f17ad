"""A questionnaire after a long description: our evaluation against full prompts answered one by one.

`measure()` gives part of the figures of `benchmarks/pas.json`; `python -m benchmarks.pas_answers` prints them alone:

- `eval_speedup`: time of the reference over ours, for the scored items of one person (180) after a description by the
  others (120). Ours computes the description once and compares the options' likelihoods; the reference reads the whole
  prompt anew for every item and writes 15 tokens, which are parsed
- `same_answers`: share of the items that have the same answer on both sides, of those where the reference's first token
  is an option; `parsed` is their share
- `eval_memory_ratio`: ours over the reference's peak of resident memory above model and questions, each in a process of
  its own

Both sides use one thread count, the same model, prompts and tokenizer; the reference is the library's own `generate`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.memory import give_memory_back, peak_above
from callbacks.prompting import FewShot
from datamodules.papi import PapiDataModule
from lm.chat import encode_prompts
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from lm.scoring import choose
from metrics.answer_letters import parse_letter
from personas.questions import Choice
from personas.wording import OPTION_LETTERS

MODEL, DATA = "assets/tiny-ocean", "assets/data/papi"
REPEATS, NEW_TOKENS, ROWS = 5, 15, 64


@dataclass(frozen=True)
class Task:
    """What is to be answered: a model, its tokenizer, and the items of one person with their prompts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    items: Sequence[Choice]


def make_task(model: str = MODEL, data: str = DATA, person: int = 0) -> Task:
    """The scored items of one person, each after the person's own answers to the describing ones."""
    spec = LMSpec(model)
    people = PapiDataModule(spec, data, people=person + 1)
    people.setup("test")
    questions = FewShot().rewrite(people.batch([person]))
    return Task(freeze(load_model(spec)), load_tokenizer(spec), questions.choices)


def ours(task: Task, items: int | None = None) -> list[str]:
    """The likeliest option of every item, or of the first ones."""
    asked = task.items[:items]
    prompts, options = [item.prompt for item in asked], [item.options for item in asked]
    chosen = choose(task.model, task.tokenizer, prompts, options, batch_size=ROWS)
    return [OPTION_LETTERS[place] for place in chosen.probabilities.argmax(-1).tolist()]


def full_prompts(task: Task, items: int | None = None, shown: str = "") -> list[str]:
    """What the model writes after the whole prompt of each item, one item after the other.

    Args:
        task: What is to be answered.
        items: Only the first ones.
        shown: Name on a progress bar; none where it is empty.
    """
    encoded = encode_prompts(task.tokenizer, [item.prompt for item in task.items[:items]])
    texts = []
    for ids in track(encoded, shown, console=Console(stderr=True)) if shown else encoded:
        prompt = torch.tensor([ids])
        with torch.no_grad():
            output = task.model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=NEW_TOKENS,
                min_new_tokens=NEW_TOKENS,
                do_sample=False,
            )
        texts.append(task.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=False))
    return texts


def agreement(letters: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """How many of the reference's answers begin with an option, and how many of these are ours.

    >>> agreement(["A", "B", "C"], ["A. Very accurate", "B", "No."])
    {'parsed': 0.6666666666666666, 'same_answers': 1.0}
    """
    begins = [(letter, text.strip()) for letter, text in zip(letters, texts, strict=True)]
    read = [(letter, parse_letter(text)) for letter, text in begins if text[:1] in OPTION_LETTERS]
    pairs = [(letter, answer) for letter, answer in read if answer is not None]
    same = sum(letter == answer for letter, answer in pairs)
    return {"parsed": len(pairs) / max(1, len(texts)), "same_answers": same / max(1, len(pairs))}


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_of(side: str) -> float:
    """Peak memory of one side in mebibytes, measured in this process."""
    give_memory_back()
    task = make_task()
    run = ours if side == "ours" else full_prompts
    run(task, 2)  # what libraries load at first use
    # A few items are enough for the side that goes through them one by one.
    return peak_above(lambda: run(task, None if side == "ours" else 5))


def measure() -> dict[str, float]:
    """All figures of this part."""
    task = make_task()
    letters = ours(task)
    times = [seconds(lambda: ours(task)) for _ in range(REPEATS)]
    texts: list[str] = []
    reference = seconds(lambda: texts.extend(full_prompts(task, shown="full prompts")))
    times += [seconds(lambda: ours(task)) for _ in range(REPEATS)]
    figures = {
        "eval_speedup": reference / statistics.median(times),
        "eval_seconds_ours": statistics.median(times),
        "eval_seconds_reference": reference,
        **agreement(letters, texts),
    }
    for side in ("ours", "reference"):
        command = [sys.executable, "-m", "benchmarks.pas_answers", "--peak-of", side]
        figures[f"eval_peak_mb_{side}"] = float(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        )
    figures["eval_memory_ratio"] = figures["eval_peak_mb_ours"] / figures["eval_peak_mb_reference"]
    return figures


def main(arguments: list[str]) -> None:
    """Print the figures of this part."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pas_answers", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "--peak-of", choices=("ours", "reference"), help="only measure this side's memory, and print it"
    )
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True)
    if options.peak_of:
        console.print(json.dumps(peak_of(options.peak_of)))
        return
    for name, value in measure().items():
        console.print(f"{name:>24} {value:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
