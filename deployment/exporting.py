"""Writes what was trained or learnt for other programs: weights, adapters, biases, bundles, control vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from transformers import PreTrainedModel

from callbacks.save_pretrained import export_model
from deployment.control_vector import refusal, steps_of, write_control_vector
from deployment.output_bias import head_shifts, takes_bias, with_output_bias
from deployment.sources import OPTION, Source
from files.atomic import write_json
from files.errors import InputError
from interventions.bundle import Bundle, save_bundle
from interventions.steered_model import BASE_FOLDER, BUNDLE_FILE, FORMAT, SETTINGS_FILE
from interventions.weights import LowRankEdit
from lm.adapters import merged

Form = Literal["auto", "weights", "adapter", "bias", "bundle", "control_vector"]
DType = Literal["float32", "float16", "bfloat16"]
_WHY = {
    "weights": "an edit of weights by MEND, or a model trained by sft, dpo or ppo",
    "adapter": "a model trained with an adapter, on the base model as it is and without new tokens",
    "bias": "one persona whose heads are shifted at every token, as by PAS",
    "bundle": "a method that steers: mend, pas, repe, sae or npti",
    "control_vector": "directions at every token, as of repe or sae",
}


@dataclass
class Written:
    """What an export consists of.

    Attributes:
        form: Its form.
        files: Control vectors by persona, as names of files.
        notes: What a user should know of it.
    """

    form: Form
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def form_of(source: Source, asked: Form) -> Form:
    """The form that a source is written in.

    Args:
        source: The source.
        asked: A form, or `auto` for the one that most programs can load.

    Raises:
        InputError: The source cannot be written in the form asked for.
    """
    possible = forms_of(source)
    if asked == "auto":
        return possible[0]
    if asked not in possible:
        raise InputError(
            f"the method {source.method} cannot be exported like this",
            field="--form",
            expected=f"{' or '.join(possible)}; {asked} is for {_WHY[asked]}",
            got=asked,
            fix="choose another form, or leave it out",
        )
    return asked


def forms_of(source: Source) -> list[Form]:
    """The forms that a source can be written in, the one that most programs can load first."""
    if source.bundle is None:
        has_adapter = hasattr(source.model, "merge_and_unload")
        alone = has_adapter and not source.started and not source.spec.new_tokens
        return ["adapter", "weights"] if alone else ["weights"]
    held = source.bundle.intervention
    if isinstance(held, LowRankEdit):
        return ["weights", "bundle"] if len(held) == 1 else ["bundle"]
    shifts = head_shifts(held) if len(source.bundle.personas) == 1 else None
    if shifts is not None and all(takes_bias(source.model, path) for path in shifts):
        return ["bias", "bundle"]
    directions = all(steps_of(source.bundle.only(name).intervention) is not None for name in source.bundle.personas)
    return ["bundle", "control_vector"] if directions else ["bundle"]


def write_export(
    source: Source, form: Form, folder: Path, dtype: DType = "float32", with_base: bool = False
) -> Written:
    """Write a source into a folder.

    Args:
        source: What to write.
        form: As `form_of` returns it.
        folder: An empty folder that takes its name when it is whole.
        dtype: Number format of whole weights.
        with_base: Put the base model beside a bundle, so that nothing else is needed.

    Returns:
        What was written.

    Raises:
        InputError: It cannot be written so.
    """
    if form not in get_args(Form) or form == "auto":
        raise ValueError(f"expected a form but got {form}")
    written = Written(form)
    if form == "adapter":
        _write_adapter(source, folder)
    elif form in ("weights", "bias"):
        export_model(_plain_model(source, form), source.tokenizer, folder, getattr(torch, dtype))
        if dtype != "float32":
            written.notes.append(f"The weights are rounded to {dtype}; written as float32 they answer as inside.")
    else:
        bundle = _bundle(source)
        _write_control_vectors(bundle, folder, written, needed=form == "control_vector")
        if form == "bundle":
            _write_bundle(source, bundle, folder, dtype if with_base else None)
    return written


def _plain_model(source: Source, form: Form) -> PreTrainedModel:
    """The model with everything in its weights."""
    if source.bundle is None:
        return merged(source.model)
    held = source.bundle.intervention
    if form == "bias":
        return with_output_bias(source.model, head_shifts(held) or {})
    return cast(LowRankEdit, held).materialize(source.model)


def _write_adapter(source: Source, folder: Path) -> None:
    adapter: Any = source.model
    for config in adapter.peft_config.values():
        config.base_model_name_or_path = source.spec.name
    adapter.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's own card; ours comes in its place
    source.tokenizer.save_pretrained(folder)


def _write_bundle(source: Source, bundle: Bundle, folder: Path, base_dtype: DType | None) -> None:
    save_bundle(folder / BUNDLE_FILE, bundle)
    noted = {"format": FORMAT, "base_model": source.spec.name, "method": bundle.method, "sites": source.spec.sites}
    write_json(folder / SETTINGS_FILE, noted)
    source.tokenizer.save_pretrained(folder)
    if base_dtype is not None:
        export_model(source.model, source.tokenizer, folder / BASE_FOLDER, getattr(torch, base_dtype))


def _write_control_vectors(bundle: Bundle, folder: Path, written: Written, needed: bool) -> None:
    """A control vector of each persona whose steps can be one; where it is needed, a reason against it is an error."""
    taken: set[str] = set()
    for name in bundle.personas:
        steps = steps_of(bundle.only(name).intervention)
        reason = refusal(steps)
        if steps is None or (reason is not None and not needed):
            if steps is not None:
                written.notes.append(f"There is no control vector: {reason}.")
            return
        file = f"{_file_name(name, taken)}.gguf"
        write_control_vector(folder / file, steps, bundle.model.architecture)
        written.files[name] = file


def _bundle(source: Source) -> Bundle:
    if source.bundle is None:
        raise InputError("has no bundle", field=OPTION, expected=_WHY["bundle"], got=source.method)
    return source.bundle


def _file_name(persona: str, taken: set[str]) -> str:
    """A file name for a persona, unlike those taken.

    >>> _file_name("extraversion+", set()), _file_name("trust=0.5, x/y", set())
    ('extraversion+', 'trust=0.5_x_y')
    """
    plain = re.sub(r"[^\w.+=-]+", "_", persona).strip("._")[:80] or "persona"
    name = next(one for one in _numbered(plain) if one not in taken)
    taken.add(name)
    return name


def _numbered(name: str) -> Sequence[str]:
    return [name, *(f"{name}-{number}" for number in range(2, 10_000))]
