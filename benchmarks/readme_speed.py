"""The README's table of what `make bench` has measured beside the parts that have tables of their own."""

from __future__ import annotations

from pathlib import Path

from benchmarks.committed import BENCHMARKS
from benchmarks.readme_tables import figure_of, figures_of, table
from benchmarks.results import read_bars, verdicts

FIGURES = {
    "sae_speedup": "training of a sparse autoencoder: time of a plain loop over whole padded passes / time of ours",
    "ppo_speedup": "a round of PPO: tokens per second over a loop that writes and reads one answer after the other",
    "personas_one_overhead": "64 answers in a batch under one persona: time over plain ones, minus 1",
    "personas_many_overhead": "the same under 64 personas, one for each answer",
    "personas_separate_speedup": "64 generations, one for each persona: their time / that of the batch",
    "start_train_help": "`train.py --help`, in seconds",
    "start_evaluate_help": "`evaluate.py --help`, in seconds",
    "start_train_options": "`train.py fit --help`, every option, in seconds; the next row is part of it",
    "start_libraries": "torch, transformers and lightning imported alone, in seconds",
    "steady_sft_growth_mb": "what memory grows by from the 100th to the 1,000th step of SFT, in mebibytes",
    "steady_mend_growth_mb": "the same for MEND",
    "scaling_people_slope": "log-log slope of time: people that PAS learns (1 is linear)",
    "scaling_items_slope": "questions that are answered",
    "scaling_topics_slope": "edits of a MEND step",
    "scaling_batch_slope": "rows of an SFT step",
    "scaling_layers_slope": "layers of a model in an SFT step",
}


def speed_block(root: Path, _inside: str) -> str:
    """Figures of the joined file, and how many bars are met; which ones are not is named."""
    content = figures_of(root / BENCHMARKS)
    if not content:
        return "No results are committed yet."
    rows = [(f"`{key}`", figure_of(content, key), meaning) for key, meaning in FIGURES.items()]
    bars = read_bars()
    found = verdicts(content, bars)
    said = [f"{len(found['met'])} of {len(bars)} bars are met (`benchmarks/bars.yaml`)"]
    for verdict in ("missed", "unmeasured"):
        if found[verdict]:
            said.append(f"{verdict}: {', '.join(f'`{bar.key}` ({bar})' for bar in found[verdict])}")
    return f"{table(('figure', 'value [95 % interval]', 'meaning'), rows)}\n\n{'; '.join(said)}."
