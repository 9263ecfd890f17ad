"""The model card of an export: what it is, how other programs load it, and what was measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deployment.exporting import Written
from deployment.sources import Source
from files.provenance import commit_hash, library_versions
from lm.loading import model_hash
from metrics.glossary import MEANINGS
from metrics.result_rows import ResultRow, read_results

_LOADED = {
    "weights": """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("{folder}") for kind in (AutoModelForCausalLM, AutoTokenizer))
```""",
    "adapter": """\
```python
from transformers import AutoModelForCausalLM   # with the package peft
model = AutoModelForCausalLM.from_pretrained("{base}")
model.load_adapter("{folder}")
```""",
    "bundle": """\
With torch, transformers and safetensors, and OceanTune's folder on the path (nothing else of it is needed):

```python
from interventions.steered_model import SteeredModel
model = SteeredModel.from_pretrained("{folder}")
model.generate(**model.tokenizer("Hello", return_tensors="pt"))
```

`persona="..."` and `strength=...` choose whom it speaks as and how strongly; `base="..."` names the base model where it
lies elsewhere. Strength 0 is the base model.""",
    "control_vector": "By llama.cpp alone, see below.",
}
_WHAT = {
    "weights": "Plain weights: every program that loads the base model loads this one.",
    "bias": "Plain weights: the base model's, and a bias of the attention's output projections that steers it.",
    "adapter": "An adapter of peft, to be put beside the base model's weights.",
    "bundle": "What is done to the base model while it runs, without its weights.",
    "control_vector": "Control vectors for llama.cpp, without the base model's weights.",
}
_SERVED = """\
Plain vLLM serves it, as it does the base model (a recipe; it was not run here):

```
vllm serve {folder}
```"""
_SERVED_ADAPTER = """\
Plain vLLM serves it beside the base model, as far as its LoRA support reaches (a recipe; it was not run here):

```
vllm serve {base} --enable-lora --lora-modules persona={folder}
```"""
_SERVED_BIAS = """\
Plain vLLM serves it where its own model of this architecture reads `attention_bias` for the output projection too, as
it does for Llama (a recipe; it was not run here; compare an answer with transformers' before you rely on it):

```
vllm serve {folder}
```"""
_NOT_SERVED = (
    "Plain vLLM does not suffice: it runs no hooks, and nothing of this is in the weights. "
    "Use transformers as above{more}."
)


def model_card(source: Source, written: Written, name: str, results: Path | None = None) -> str:
    """The text of the card.

    Args:
        source: What was exported.
        written: In which form.
        name: Name of the folder.
        results: The results file that the figures are taken from.

    Raises:
        InputError: The results file is faulty.
    """
    base = source.spec.name
    loaded = _LOADED["weights" if written.form == "bias" else written.form]
    parts = [
        f"---\nlibrary_name: transformers\nbase_model: {base}\ntags: [oceantune, personality, {source.method}]\n---",
        f"# {name}\n\n{_WHAT[written.form]}",
        f"Made by OceanTune's method `{source.method}` for the model `{base}`.{_personas(source)}",
        *written.notes,
        f"## Loading\n\n{loaded.format(folder=name, base=base)}",
        f"## vLLM\n\n{_served(written).format(folder=name, base=base)}",
    ]
    if written.files:
        lines = "\n".join(f"llama-cli -m BASE.gguf --control-vector {file}" for file in written.files.values())
        parts.append(
            "## llama.cpp\n\nEach file holds the steps of one persona, to be added after decoder blocks as they are "
            f"numbered there, at full strength (`--control-vector-scaled FILE 0.5` for half of it):\n\n"
            f"```\n{lines}\n```"
        )
    parts.append(f"## Figures\n\n{_figures(source, results)}")
    parts.append(f"## Provenance\n\n{_provenance(source)}")
    return "\n\n".join(parts) + "\n"


def _personas(source: Source) -> str:
    if source.bundle is None:
        return ""
    shown = ", ".join(f"`{name}`" for name in source.bundle.personas[:10])
    left = len(source.bundle.personas) - 10
    return f" Personas: {shown}{f' and {left} more' if left > 0 else ''}."


def _served(written: Written) -> str:
    more = ", or the control vectors in llama.cpp" if written.files else ""
    recipes = {"weights": _SERVED, "adapter": _SERVED_ADAPTER, "bias": _SERVED_BIAS}
    return recipes.get(written.form, _NOT_SERVED.replace("{more}", more))


def _figures(source: Source, results: Path | None) -> str:
    """A table of the method's figures over all records."""
    rows = [] if results is None else [row for row in read_results(results) if row.plain]
    own = [row for row in rows if row.method == source.method and row.metric in MEANINGS]
    if not own:
        return f"No results of `{source.method}` were at hand when this was written."
    lines = ["| benchmark | figure | base | here [95 % interval] | n | meaning |", "|---|---|---|---|---|---|"]
    for row in own:
        meaning = MEANINGS[row.metric]
        better = "" if meaning.better == "neither" else f" ({meaning.better} is better)"
        cells = (
            row.benchmark,
            f"`{row.metric}`",
            _number(row.base_value),
            _interval(row),
            row.n,
            meaning.text + better,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    models = sorted({row.model for row in own})
    said = f"Measured on `{', '.join(models)}` over all personas of the benchmark, seed {_seeds(own)}."
    return "\n".join(lines) + f"\n\n{said}"


def _provenance(source: Source) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    facts = [("commit", commit_hash() or "not in a checkout"), ("versions", versions)]
    facts.append(("weights of the base or trained model", model_hash(source.model)[:12]))
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _seeds(rows: Sequence[ResultRow]) -> str:
    return ", ".join(sorted({str(row.seed) for row in rows}))


def _interval(row: ResultRow) -> str:
    if row.ci_low is None or row.ci_high is None:
        return _number(row.value)
    return f"{_number(row.value)} [{_number(row.ci_low)}, {_number(row.ci_high)}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
