"""Rounds of PPO against a plain loop: tokens per second, and whether both make the same of the same answers.

`python -m benchmarks.ppo_rounds` (or `make bench-ppo`) writes `benchmarks/ppo_rounds.json`:

- `speedup`: tokens of answers per second of ours over the plain loop's, the median over interleaved rounds
- `tokens_per_second`, `tokens_per_second_plain`: tokens of answers, from the prompt to the last optimizer step
- `max_log_prob_diff`: largest difference of the log-probabilities, under the policy and under the reference, that both
  work out for the answers of our first round

A round is 32 prompts of the built-in world, answered by the built-in model with 32 new tokens at most, and two passes
of minibatches of 16 with a value head. Ours is the Trainer's step: answers are written together, policy and reference
read them together, and the output layer runs where an answer is. The plain loop writes one answer after the other with
the library's sampling and its cache, reads each alone, and computes all logits.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.beside import Beside, bare_trainer
from benchmarks.figures import keep, options_of, with_interval
from benchmarks.plain_ppo import PlainPPO
from benchmarks.training_data import conversations
from datamodules.prompts import PromptDataModule
from files.atomic import atomic_write_text
from lightning_modules.experience import Experience, PPOOptions
from lightning_modules.ppo import PPOModule, RolloutOptions
from lightning_modules.rewards import CallableReward
from lm.chat import Chat
from lm.loading import LMSpec, load_tokenizer
from lm.prompt_batch import PromptBatch

RESULT = Path(__file__).with_name("ppo_rounds.json")
MODEL = "assets/tiny-ocean"
ROUNDS, PROMPTS, NEW_TOKENS, MINIBATCH, EPOCHS = 4, 32, 32, 16, 2


def vowels(_prompts: Sequence[Chat], answers: Sequence[str], _records: Sequence[Mapping[str, Any]]) -> list[float]:
    """A reward that costs nothing: the share of vowels.

    >>> vowels([], ["aeb!"], [])
    [0.5]
    """
    return [sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in answers]


class Watched(PPOModule):
    """Ours, with what it made of the answers of each round left to look at."""

    experience: Experience

    def collect(self, batch: PromptBatch) -> tuple[Experience, dict[str, float]]:
        """As it is, and kept."""
        self.experience, means = super().collect(batch)
        return self.experience, means


def compared(
    rounds: int = ROUNDS, prompts: int = PROMPTS, new_tokens: int = NEW_TOKENS, clock: str = "wall"
) -> dict[str, Any]:
    """Train for a few rounds on both sides.

    Args:
        rounds: How many are measured.
        prompts: Of each.
        new_tokens: Longest answer.
        clock: A name in `CLOCKS`.

    Returns:
        The figures.
    """
    spec = LMSpec(MODEL)
    options = PPOOptions(epochs=EPOCHS, minibatch=min(MINIBATCH, prompts))
    module = Watched(
        spec, [CallableReward(f"{__name__}.vowels")], options, RolloutOptions(max_new_tokens=new_tokens, rows=prompts)
    )
    differences: list[float] = []
    written: list[tuple[int, int]] = []

    def begin(of: Watched) -> Callable[[PromptBatch], float]:
        plain = PlainPPO(of)

        def step(batch: PromptBatch) -> float:
            ours = of.experience
            if not differences:
                theirs = plain.judge(ours.rollout, ours.scores)
                pairs = ((ours.log_probs, theirs.log_probs), (ours.reference, theirs.reference))
                differences.append(max(float((one - other).abs().max()) for one, other in pairs))
            answered = plain.round(batch)
            written.append((int(ours.rollout.answer_mask.sum()), int(answered.answer_mask.sum())))
            return float(written[-1][1])

        return step

    beside = Beside(begin, clock)
    with tempfile.TemporaryDirectory() as folder:
        chats = conversations(load_tokenizer(spec), prompts * (rounds + 1))
        file = Path(folder, "prompts.jsonl")
        atomic_write_text(file, "".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
        steps = (rounds + 1) * EPOCHS * -(-prompts // options.minibatch)
        bare_trainer(steps, callbacks=[beside]).fit(module, datamodule=PromptDataModule(spec, str(file), prompts))
    rates = [
        (mine / ours, theirs / plain)
        for (mine, theirs), (ours, plain) in zip(written[-len(beside.seconds) :], beside.seconds, strict=True)
    ]
    return {
        **with_interval("speedup", [mine / theirs for mine, theirs in rates]),
        **with_interval("tokens_per_second", [mine for mine, _ in rates]),
        **with_interval("tokens_per_second_plain", [theirs for _, theirs in rates]),
        "max_log_prob_diff": differences[0],
        "clock": clock,
    }


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    options = options_of("benchmarks.ppo_rounds", __doc__, RESULT, arguments)
    warnings.filterwarnings("ignore", module="lightning")
    keep(options.output, compared(clock=options.clock), Console(stderr=True))


if __name__ == "__main__":
    main(sys.argv[1:])
