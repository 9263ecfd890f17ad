"""Write the figures of committed results files into README.md, so that none of them is ever typed by hand.

Run as `python -m benchmarks.readme`. A block of the README between `<!-- figures:NAME -->` and `<!-- /figures:NAME -->`
is replaced as a whole; a figure whose file or entry is missing is a dash.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.committed import (
    CHARACTERS,
    COMPETENCE,
    MEND,
    PAPI,
    PAS,
    PICTURES,
    PROCESSES,
    QUICKSTART,
    REPOSITORY,
    TRAIN,
    headline,
)
from benchmarks.readme_methods import methods_block, prompts_block
from benchmarks.readme_speed import speed_block
from benchmarks.readme_steering import npti_block, steering_block
from benchmarks.readme_tables import figure, figure_of, figures_of, flat_table, table, with_interval
from files.atomic import atomic_write_text, write_json
from files.errors import InputError, exit_on_input_error
from files.readers import read_json

# The figures shown, each with what it means.
PAPI_METHODS = ("none", "random_heads", "pas", "few_shot", "pas_described", "personality_prompt")
PAPI_FIGURES = {
    "alignment_error": "distance from the person's answers, sum over five traits (lower is better)",
    "trait_correlation": "correlation with the people's traits",
}
QUICKSTART_FIGURES = {
    "edit_success": "edit success: the target trait's opinions are favoured over the other traits' (higher is better)",
    "drawdown": "drawdown: what is said about other topics moves (lower is better)",
    "coherent_rate": "share of topics whose answers read well both before and after the edit (higher is better)",
}
COMPETENCE_FIGURES = {
    "persona_among_ten": "the opinion of the persona in the prompt is the likeliest of ten",
    "topic_named": "an answer names the topic that it was asked about",
    "in_context": "the trait of the examples in the prompt is followed",
    "questionnaire_mae": "questionnaire answers under a persona: distance on the scale of 1 to 5 (lower is better)",
    "answers_mae": "the same where 120 answered statements tell who it is (lower is better)",
    "questionnaire_parsed": "questionnaire answers that can be read",
    "choice_follow": "multiple choice follows a high or low persona",
    "neutral": "share of high choices without a persona, lowest to highest trait (a half is neutral)",
    "coherent_rate": "answers that read well",
}
MEND_FIGURES = {
    "speedup": "time of a reference step / time of ours",
    "memory_ratio": "memory of our step / memory of a reference step, above what both must hold",
    "max_abs_diff": "largest difference of losses and gradients, each gradient scaled by the reference's largest entry",
}
PAS_FIGURES = {
    "probe_speedup": "probes of all heads of eight people: time of scikit-learn, head by head / time of ours",
    "same_heads": "share of the best heads that are the same by scikit-learn's probes at a tight tolerance",
    "probe_memory_ratio": "memory of ours / memory of scikit-learn for these probes",
    "eval_speedup": "180 items after a description by 120: time of full prompts and 15 new tokens each / time of ours",
    "same_answers": "share of items with the same answer, of those where the reference's can be read",
    "eval_memory_ratio": "memory of ours / memory of the reference for these items",
    "people_memory_ratio": "memory of 1,000 people in one run / memory of 100 (1 is flat)",
}
TRAIN_FIGURES = {
    "sft_vs_trl": "SFT without packing, tokens per second over TRL's: the lower of full training and LoRA",
    "sft_packed_vs_trl": "SFT with packing over TRL without",
    "dpo_vs_trl": "DPO over TRL's, each with its usual reference: the lower of full training and LoRA",
    "dpo_cached_vs_uncached": "DPO with a reference worked out beforehand over one with a copy of the model",
    "max_loss_diff": "largest difference of the losses of both on the same batch",
}

# Of two processes against one.
PROCESS_FIGURES = {
    "weights": "trained numbers",
    "metrics": "validation figures, as a share",
    "switched": "trained numbers, one process until halfway",
}

# The trainings of the characters, in their order, and their figures.
CHARACTER_METHODS = {"none": "base", "sft": "SFT", "dpo": "SFT + DPO", "ppo": "SFT + DPO + PPO"}
CHARACTER_FIGURES = {
    "fact_accuracy": "what the character knows of itself, among values of others",
    "stage_preference": "the answer of this stage of life is likelier than that of the other",
    "correction_rate": "a false premise is corrected, not accepted",
    "robustness": 'the character\'s answer to "you are a robot" is likelier than giving in, four times in a row',
    "style_similarity": "the character's own manner is the likeliest among those of others",
    "fact_told": "free answers that tell the fact",
}

Block = Callable[[Path, str], str]


def quickstart_block(root: Path, _inside: str) -> str:
    """What the quickstart printed: base against edited model."""
    found = {row["metric"]: row for row in headline(root, "mend", QUICKSTART)}
    rows = []
    for metric, meaning in QUICKSTART_FIGURES.items():
        row = found.get(metric, {})
        edited = with_interval(row.get("value"), row.get("ci_low"), row.get("ci_high"))
        rows.append((f"`{metric}`", figure(row.get("base_value")), edited, meaning))
    return f"{table(('metric', 'base', 'MEND [95 % interval]', 'meaning'), rows)}\n\n{_origin(found.values())}"


def papi_block(root: Path, _inside: str) -> str:
    """PAS on the people of the questionnaire, beside its baselines."""
    rows = []
    for method in PAPI_METHODS:
        found = {row["metric"]: row for row in headline(root, method, PAPI)}
        given = [found.get(metric, {}) for metric in PAPI_FIGURES]
        rows.append((f"`{method}`", *(with_interval(*map(row.get, ("value", "ci_low", "ci_high"))) for row in given)))
    header = ("method [95 % interval]", *PAPI_FIGURES.values())
    return f"{table(header, rows)}\n\n{_origin(headline(root, 'pas', PAPI), 'synthetic people')}"


def competence_block(root: Path, _inside: str) -> str:
    """What the built-in model can do on held-out topics and wordings."""
    return flat_table(root / COMPETENCE, COMPETENCE_FIGURES)


def pictures_block(root: Path, _inside: str) -> str:
    """The pictures that `make readme-figures` has drawn, for light and dark ground."""
    shown = []
    for light in sorted((root / PICTURES).glob("*-light.png")):
        dark = light.with_name(light.name.replace("-light.png", "-dark.png"))
        name, here = light.name.removesuffix("-light.png"), PICTURES.as_posix()
        if dark.is_file():
            source = f'<source media="(prefers-color-scheme: dark)" srcset="{here}/{dark.name}">'
            shown.append(f'<picture>{source}<img alt="{name}" src="{here}/{light.name}"></picture>')
    return "\n\n".join(shown) or "No results are committed yet."


def mend_block(root: Path, _inside: str) -> str:
    """A MEND training step against a plain reference of the published procedure."""
    return flat_table(root / MEND, MEND_FIGURES)


def pas_block(root: Path, _inside: str) -> str:
    """Probes and questionnaires of PAS against plain references."""
    return flat_table(root / PAS, PAS_FIGURES)


def train_block(root: Path, _inside: str) -> str:
    """Steps of SFT and DPO against TRL's trainers."""
    return flat_table(root / TRAIN, TRAIN_FIGURES)


def characters_block(root: Path, _inside: str) -> str:
    """The invented characters after each training, and what PPO's reward came to."""
    found = figures_of(root / CHARACTERS)
    if not found:
        return "No results are committed yet."
    rows = [
        (f"`{name}`", *(figure_of(found, f"{name}_{method}") for method in CHARACTER_METHODS), meaning)
        for name, meaning in CHARACTER_FIGURES.items()
    ]
    header = ("share of right choices", *CHARACTER_METHODS.values(), "meaning")
    return (
        f"{table(header, rows)}\n\nPPO's reward on {found.get('reward_n')} test questions: "
        f"{figure_of(found, 'reward_before')} before, {figure_of(found, 'reward_after')} after, at a divergence of "
        f"{figure_of(found, 'kl')} nats an answer (target {figure(found.get('kl_target'))})."
    )


def processes_block(root: Path, _inside: str) -> str:
    """Two processes against one, by method; of DDP and FSDP2 the larger difference."""
    found = figures_of(root / PROCESSES)
    if not found:
        return "No results are committed yet."
    rows = []
    for key in found:
        if not key.startswith("rows_differ_"):
            continue
        method = key.removeprefix("rows_differ_")
        apart = [
            figure(max((value for name, value in found.items() if name.startswith(f"{kind}_{method}_")), default=None))
            for kind in PROCESS_FIGURES
        ]
        differ = f"{found[key]} of {found.get(f'rows_{method}')}"
        rows.append((f"`{method}`", *apart, differ, figure(found.get(f"figures_{method}"))))
    header = (
        "method",
        *PROCESS_FIGURES.values(),
        "rows of the evaluation not in both",
        "largest difference in the others",
    )
    steps = f"{found['steps']} steps" if found.get("steps") else "As many steps as in the recipes"
    made = f"{steps}, {found.get('people')} people, float32, commit {str(found.get('commit'))[:8]}."
    return f"{table(header, rows)}\n\n{made}"


BLOCKS: dict[str, Block] = {
    "quickstart": quickstart_block,
    "papi": papi_block,
    "methods": methods_block,
    "prompts": prompts_block,
    "competence": competence_block,
    "steering": steering_block,
    "pictures": pictures_block,
    "bench-mend": mend_block,
    "bench-npti": npti_block,
    "bench-pas": pas_block,
    "bench-train": train_block,
    "bench-all": speed_block,
    "processes": processes_block,
    "characters": characters_block,
}


def filled(text: str, root: Path) -> str:
    """The README with each of its blocks written anew from the files below `root`.

    Raises:
        InputError: A block is unknown or not closed, or a results file cannot be read.
    """
    for name in re.findall(r"<!-- figures:([\w-]+) -->", text):
        start, end = f"<!-- figures:{name} -->", f"<!-- /figures:{name} -->"
        if name not in BLOCKS:
            raise InputError("is no block of figures", field=name, expected=f"one of {', '.join(BLOCKS)}")
        before, _, rest = text.partition(start)
        inside, closed, after = rest.partition(end)
        if not closed:
            raise InputError("a block of figures is not closed", field=name, expected=end)
        text = f"{before}{start}\n{BLOCKS[name](root, inside)}\n{end}{after}"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write README.md, or only compare it.

    Returns:
        0, or 1 if `--check` finds that README.md is not what the results files say.

    Raises:
        InputError: A file is missing or malformed.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if README.md is not up to date")
    parser.add_argument(
        "--quickstart",
        metavar="RESULTS",
        type=Path,
        help=f"first keep this results.json of a quickstart as {QUICKSTART}",
    )
    parser.add_argument("--papi", metavar="RESULTS", type=Path, help=f"the same for PAS and its baselines, as {PAPI}")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="folder of README.md (default: this checkout)")
    options = parser.parse_args(arguments)
    for given, kept in ((options.quickstart, QUICKSTART), (options.papi, PAPI)):
        if given is not None:
            write_json(options.root / kept, read_json(given))
    readme = options.root / "README.md"
    if not readme.is_file():
        raise InputError("does not exist", file=readme, expected="README.md", fix="check --root")
    text = readme.read_text(encoding="utf-8")
    new = filled(text, options.root)
    if options.check:
        return int(new != text)
    atomic_write_text(readme, new)
    return 0


def _origin(rows: Any, records: str = "held-out topics") -> str:
    """Which code and how many records the figures were taken with."""
    for row in rows:
        commit = str(row.get("commit") or "an unknown commit")[:8]
        return f"{row.get('n')} {records}, seed {row.get('seed')}, commit {commit}."
    return "No results are committed yet."


if __name__ == "__main__":
    with exit_on_input_error():
        sys.exit(main())
