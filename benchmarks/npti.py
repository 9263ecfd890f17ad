"""What NPTI costs: counting and induction beside plain generation, and selection beside a plain loop over neurons.

`python -m benchmarks.npti` (or `make bench-npti`) writes `benchmarks/npti.json`, with `--clock cpu` by the processor's
clock where others work too:

- `count_overhead`: time of a batched generation during which every neuron is counted, over that of the same generation
  without, minus 1; reading the counts at its end is part of it
- `induce_overhead`: the same for a generation under an induction that pushes 2000 neurons and holds 2000 others, with
  rows under different personas
- `select_speedup`: time of a plain loop over neurons for the selection of both ends of a trait, over ours, on counts
  of 32 layers of 14336 neurons; the loop is timed on a slice, and its time taken in proportion

The generations have a model of about 100 million random weights; figures are medians over interleaved rounds.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.figures import CLOCKS, Clock, keep, options_of, with_interval
from interventions.applied import applied
from interventions.firing import Activity, FiringHistogram, percentile_edges
from interventions.limited import Limited
from interventions.neuron_selection import NeuronSet, push_amounts, select_poles
from interventions.neurons import InduceNeurons
from interventions.places import places_of
from interventions.recorded import recorded

RESULT = Path(__file__).with_name("npti.json")
ROWS, PROMPT, ANSWER, ROUNDS = 32, 32, 48, 7
LAYERS, NEURONS, SLICE = 32, 14336, 4096
VOCABULARY = 8192


class Contest:
    """One model and one batch of prompts, answered plainly, counted, and under an induction."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=768,
            intermediate_size=2048,
            num_hidden_layers=12,
            num_attention_heads=12,
            num_key_value_heads=12,
            vocab_size=VOCABULARY,
        )
        self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
        self.model.generation_config.eos_token_id = None
        self.places = places_of(self.model)
        self.edges = percentile_edges()
        self.prompts = torch.randint(VOCABULARY, (ROWS, PROMPT), generator=torch.Generator().manual_seed(1))
        self.induced = self._induction()

    def _induction(self) -> Limited:
        """Two personas, each with 2000 neurons pushed and 2000 held, in turns over the rows."""
        sites = self.places.sites
        count = sites.num_layers * sites.mlp_width
        order = torch.rand(2, count, generator=torch.Generator().manual_seed(2)).argsort(-1)
        amounts = torch.zeros(2, count).scatter_(1, order[:, :2000], 0.1)
        held = torch.full((2, count), torch.inf).scatter_(1, order[:, 2000:4000], 0.0)
        pushed, ceilings = (dict(enumerate(t.view(2, sites.num_layers, -1).unbind(1))) for t in (amounts, held))
        induced = InduceNeurons(self.places, pushed, ceilings)
        return Limited(induced.rows([row % 2 for row in range(ROWS)]), phase="generated")

    def generate(self) -> None:
        """A plain batched generation."""
        with torch.no_grad():
            self.model.generate(
                input_ids=self.prompts,
                attention_mask=torch.ones_like(self.prompts),
                max_new_tokens=ANSWER,
                do_sample=False,
            )

    def count(self) -> list[Activity]:
        """The same, and what every neuron did."""
        sites = [self.places.neurons(layer, "gate") for layer in self.places.layers]
        with recorded(self.model, sites, FiringHistogram(self.edges), phase="generated") as recording:
            self.generate()
        return [recording[site] for site in sites]

    def induce(self) -> None:
        """The same under an induction."""
        with applied(self.model, self.induced):
            self.generate()


def made_up_counts(seed: int) -> Activity:
    """Counts of 32 layers of 14336 neurons."""
    generator = torch.Generator().manual_seed(seed)
    edges = percentile_edges()
    histogram = torch.empty(LAYERS, NEURONS, len(edges) - 1, dtype=torch.int32)
    for layer in histogram:
        layer.copy_(torch.randint(8, layer.shape, generator=generator, dtype=torch.int32))
    counts = histogram[..., 1:].sum(-1, dtype=torch.int32)
    tokens = int(histogram[0, 0].sum()) * 2
    return Activity(counts.clamp(max=tokens), histogram, tokens)


def plain_selection(
    high: Activity, low: Activity, edges: Sequence[float], minimum: int, count: int
) -> list[list[tuple[float, int, float, float]]]:
    """Both ends of a trait by a loop over the first neurons of the first layer."""
    ends = []
    for own, other in ((high, low), (low, high)):
        found = []
        for neuron in range(count):
            rate = float(own.counts[0, neuron]) / own.tokens
            difference = rate - float(other.counts[0, neuron]) / other.tokens
            bins = own.histogram[0, neuron].tolist()
            needed, reached, place = 0.95 * sum(bins), 0, 0
            for place, values in enumerate(bins):  # noqa: B007
                reached += values
                if reached >= needed:
                    break
            found.append((difference, neuron, rate, edges[place]))
        found.sort(reverse=True)
        ends.append(found[: max(minimum, sum(one[0] >= 0.1 for one in found))])
    return ends


def seconds(step: Callable[[], object], clock: Clock) -> float:
    """Time of one call."""
    start = clock()
    step()
    return clock() - start


def selection_times(clock: Clock) -> tuple[float, float]:
    """Seconds of our selection, and of the loop for as many neurons; both must agree on the slice."""
    high, low = made_up_counts(0), made_up_counts(1)
    edges = percentile_edges()
    ours = statistics.median(seconds(lambda: select_poles(high, low, edges), clock) for _ in range(3))
    plain = seconds(lambda: plain_selection(high, low, edges.tolist(), 200, SLICE), clock)
    first, second = (Activity(one.counts[:1, :SLICE], one.histogram[:1, :SLICE], one.tokens) for one in (high, low))
    chosen = select_poles(first, second, edges, minimum=200)
    for found, loop in zip(chosen, plain_selection(high, low, edges.tolist(), 200, SLICE), strict=True):
        _check_equal(found, loop)
    return ours, plain * LAYERS * NEURONS / SLICE


def _check_equal(found: NeuronSet, loop: Sequence[tuple[float, int, float, float]]) -> None:
    """Both sides take the same neurons for the same reasons; where differences are equal, any of them."""
    for place, column in ((0, found.difference), (2, found.rate), (3, found.percentile)):
        theirs = torch.tensor([one[place] for one in loop])
        if not torch.allclose(column.sort().values, theirs.sort().values, atol=1e-6) and place == 0:
            raise RuntimeError("the loop and ours select different neurons")
    if not bool(push_amounts(found).isfinite().all()):
        raise RuntimeError("an amount is not finite")


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    options = options_of("benchmarks.npti", __doc__, RESULT, arguments)
    clock = CLOCKS[options.clock]
    console = Console(stderr=True)
    contest = Contest()
    contest.count()  # once outside of the figures, so that all memory has been asked for
    contest.induce()
    rounds = [
        (seconds(contest.generate, clock), seconds(contest.count, clock), seconds(contest.induce, clock))
        for _ in track(range(ROUNDS), "rounds of generation", console=console)
    ]
    ours, plain = selection_times(clock)
    figures = {
        **with_interval("count_overhead", [count / base for base, count, _ in rounds], shift=-1),
        **with_interval("induce_overhead", [induce / base for base, _, induce in rounds], shift=-1),
        "select_speedup": plain / ours,
        "seconds_generate": statistics.median(base for base, _, _ in rounds),
        "seconds_select": ours,
        "seconds_select_plain": plain,
        "clock": options.clock,
        "parameters": sum(parameter.numel() for parameter in contest.model.parameters()),
    }
    keep(options.output, figures, console)


if __name__ == "__main__":
    main(sys.argv[1:])
