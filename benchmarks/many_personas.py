"""Generation under 1 and under 64 personas in one batch, beside plain generation and beside 64 generations.

`python -m benchmarks.many_personas` (or `make bench-personas`) writes `benchmarks/many_personas.json`; all figures are
medians over interleaved rounds:

- `one_overhead`: time of a batch of 64 answers under one persona over that of a plain one, minus 1
- `many_overhead`: the same where every answer stands under a persona of its own
- `alone_overhead`: the same for a single answer under a persona
- `separate_speedup`: time of 64 generations, one for each persona, over that of the batch (eight are timed)
- `same_answers`: share of these eight that are the same, token for token, as in the batch
- `tokens_per_second`: new tokens of the batch under 64 personas

A persona shifts 24 attention heads at the last token, as PAS does. The model has about 27 million random weights.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.figures import CLOCKS, keep, options_of, with_interval
from benchmarks.mend import seconds
from interventions.applied import applied
from interventions.heads import ShiftHeads
from interventions.limited import Limited
from interventions.places import places_of

RESULT = Path(__file__).with_name("many_personas.json")
PERSONAS, PROMPT, ANSWER, HEADS, ROUNDS, ALONE = 64, 32, 24, 24, 4, 8


class Contest:
    """One model and a prompt for each persona.

    Args:
        personas: How many, each with a row of the batch.
        answer: New tokens of each.
        shape: Settings of the model that differ.
    """

    def __init__(self, personas: int = PERSONAS, answer: int = ANSWER, **shape: Any) -> None:
        torch.manual_seed(0)
        usual = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6, "num_attention_heads": 8}
        config = LlamaConfig(vocab_size=8192, **{**usual, **shape})
        self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
        self.model.generation_config.eos_token_id = None
        self.personas, self.answer = personas, answer
        places = places_of(self.model)
        sites, generator = places.sites, torch.Generator().manual_seed(1)
        self.prompts = torch.randint(config.vocab_size, (personas, PROMPT), generator=generator)
        every = torch.cartesian_prod(torch.arange(sites.num_layers), torch.arange(sites.num_heads))
        count = min(HEADS, len(every))
        heads = torch.stack([every[torch.randperm(len(every), generator=generator)[:count]] for _ in range(personas)])
        vectors = torch.randn(personas, count, sites.head_dim, generator=generator)
        self.shift = Limited(ShiftHeads.sparse(places, heads, vectors), positions="last")

    def generate(self, rows: list[int], personas: list[int] | None) -> Tensor:
        """New tokens (B, A) after some prompts, under a persona for each or under none."""
        prompts = self.prompts[rows]
        steered = nullcontext() if personas is None else applied(self.model, self.shift.rows(personas))
        with torch.no_grad(), steered:
            output = self.model.generate(
                input_ids=prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=self.answer,
                do_sample=False,
            )
        return output[:, prompts.shape[1] :]


def measured(contest: Contest, rounds: int = ROUNDS, alone: int = ALONE, clock: str = "wall") -> dict[str, Any]:
    """All figures.

    Args:
        contest: Model, prompts and personas.
        rounds: How often everything is timed.
        alone: How many answers are written alone; their time is taken in proportion.
        clock: A name in `CLOCKS`.
    """
    tick = CLOCKS[clock]
    everybody, singles = list(range(contest.personas)), list(range(0, contest.personas, contest.personas // alone))
    together = contest.generate(everybody, everybody)  # once outside of the figures, so that all memory is there
    same = [torch.equal(contest.generate([row], [row])[0], together[row]) for row in singles]
    times = [
        (
            seconds(lambda: contest.generate(everybody, None), tick),
            seconds(lambda: contest.generate(everybody, [0] * contest.personas), tick),
            seconds(lambda: contest.generate(everybody, everybody), tick),
            seconds(lambda: [contest.generate([row], None) for row in singles], tick),
            seconds(lambda: [contest.generate([row], [row]) for row in singles], tick),
        )
        for _ in track(range(rounds), "rounds of generation", console=Console(stderr=True))
    ]
    share = contest.personas / len(singles)
    return {
        **with_interval("one_overhead", [one / plain for plain, one, _, _, _ in times], -1),
        **with_interval("many_overhead", [many / plain for plain, _, many, _, _ in times], -1),
        **with_interval("alone_overhead", [steered / plain for _, _, _, plain, steered in times], -1),
        **with_interval("separate_speedup", [steered * share / many for _, _, many, _, steered in times]),
        **with_interval("tokens_per_second", [together.numel() / many for _, _, many, _, _ in times]),
        "same_answers": sum(same) / len(same),
        "clock": clock,
        "personas": contest.personas,
        "parameters": sum(parameter.numel() for parameter in contest.model.parameters()),
    }


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    options = options_of("benchmarks.many_personas", __doc__, RESULT, arguments)
    keep(options.output, measured(Contest(), clock=options.clock), Console(stderr=True))


if __name__ == "__main__":
    main(sys.argv[1:])
