"""What can be exported: a checkpoint, a bundle, the settings of a method, or the folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deployment.edits import TextEdit, edited_by
from deployment.method import PreparedMethod, read_settings
from files.assets import asset_path
from files.errors import InputError
from interventions.bundle import Bundle, facts_of, load_bundle, read_header
from lightning_modules.base import HEADER
from lightning_modules.checkpoint_file import plain_checkpoint
from lightning_modules.mend import MENDModule
from lightning_modules.pas import PASModule
from lightning_modules.trained import LAST, read_checkpoint, rebuilt
from lm.loading import LMSpec, freeze, load_model, load_tokenizer
from metrics.result_rows import RESULTS
from personas.persona_names import persona_named

EVALUATED, OPTION = "evaluation.yaml", "SOURCE"


@dataclass
class Source:
    """Something trained or learnt, ready to be written.

    Attributes:
        method: What results call it.
        spec: The base model.
        tokenizer: Its tokenizer.
        model: The base model where there is a bundle, else the trained one.
        bundle: What is done to the base model; None where the model's own weights say it all.
        started: Whether training began with another run's weights, so that an adapter alone would not do.
        results: The results file that lies beside it; None where there is none.
    """

    method: str
    spec: LMSpec
    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    bundle: Bundle | None = None
    started: bool = False
    results: Path | None = None


@dataclass
class Wanted:
    """Whom of a source to export.

    Attributes:
        model: Another base model than the one that the source names.
        ckpt_path: Another checkpoint than the one that a settings file names.
        personas: Names in a bundle, or levels of traits.
        edits: Texts to edit a model by.
        prompt: The kind of prompts whose strengths are taken from a PAS checkpoint.
        other_weights: Accept a base model with other weights than a bundle was made for.
    """

    model: str | None = None
    ckpt_path: str | None = None
    personas: Sequence[str] = ()
    edits: Sequence[TextEdit] = ()
    prompt: str = "plain"
    other_weights: bool = False


def read_source(name: str, wanted: Wanted) -> Source:
    """Load what is to be exported.

    Args:
        name: A checkpoint (.ckpt), a bundle (.safetensors), a settings file of evaluate.py (.yaml), or the folder of a
            run of train.py or evaluate.py.
        wanted: Whom of it.

    Raises:
        InputError: It is none of these, is faulty, or does not have what is wanted.
    """
    path = asset_path(name)
    if path.is_dir() and path.suffix != LAST.suffix:
        kept = next((path / inner for inner in (EVALUATED, LAST) if (path / inner).exists()), None)
        if kept is None:
            raise _no_source(name, sorted(item.name for item in path.iterdir())[:5])
        path = kept
    # Some strategies write a checkpoint as a folder of shares.
    path = plain_checkpoint(path)
    if not path.is_file():
        raise _no_source(name, "nothing there")
    readers = {".ckpt": _of_checkpoint, ".safetensors": _of_bundle, ".yaml": _of_settings, ".yml": _of_settings}
    if path.suffix not in readers:
        raise _no_source(name, path.name)
    source = readers[path.suffix](path, wanted)
    beside = (folder / RESULTS for folder in (path.parent, path.parent.parent))
    source.results = next((file for file in beside if file.is_file()), None)
    return source


def _of_checkpoint(path: Path, wanted: Wanted) -> Source:
    header = read_checkpoint(path)[HEADER]
    trained_on: dict[str, Any] = dict((header.get("settings") or {}).get("lm") or {})
    kept = {name: trained_on[name] for name in ("new_tokens", "sites", "tokenizer", "seed") if trained_on.get(name)}
    spec = LMSpec(wanted.model or str(header.get("model")), **kept)
    module = rebuilt(path, spec)
    trains = any(name.startswith("lm.") for name in module.state_dict())
    module.eval().requires_grad_(False)
    source = Source(module.method, spec, module.tokenizer, module.lm, started=module.start_hash is not None)
    if isinstance(module, MENDModule):
        edit, names = edited_by(module, wanted.edits)
        source.bundle = Bundle(edit, module.method, (", ".join(names),), facts_of(module.lm), {"edits": names})
    elif isinstance(module, PASModule):
        source.bundle = _only(module.bundle(wanted.prompt), wanted.personas)  # type: ignore[arg-type]  # checked there
    elif not trains:
        raise InputError(
            f"the method {module.method} does not change the language model",
            file=path,
            field=OPTION,
            expected="a checkpoint of mend, pas, sft, dpo or ppo",
            fix="export the method that uses it, by its settings file, such as configs/eval/trait/sae.yaml",
        )
    return source


def _of_bundle(path: Path, wanted: Wanted) -> Source:
    made_for = read_header(path)["model"]
    spec = LMSpec(wanted.model or str(made_for.get("name") or ""))
    model = freeze(load_model(spec))
    bundle = _only(load_bundle(path, model, other_weights=wanted.other_weights), wanted.personas)
    return Source(bundle.method, spec, load_tokenizer(spec), model, bundle)


def _of_settings(path: Path, wanted: Wanted) -> Source:
    settings = read_settings(path, wanted.model, wanted.ckpt_path)
    if settings.callback is None:
        if settings.ckpt_path is None:
            raise InputError(
                "names no method",
                file=path,
                field="trainer.callbacks",
                expected="a method such as callbacks.repe.RepE, or a checkpoint",
                fix="give the settings file of a method",
            )
        return _of_checkpoint(Path(settings.ckpt_path), wanted)
    if not wanted.personas:
        raise InputError(
            "says nothing of whom to export",
            field="--personas",
            expected="levels of traits, such as '[\"extraversion+\"]'",
            fix="name one or more personas",
        )
    personas = [persona_named(text) for text in wanted.personas]
    method = PreparedMethod(settings, folder=path.parent if path.name == EVALUATED else None)
    stage = method.stage
    return Source(method.name, settings.lm, stage.tokenizer, stage.lm, method.bundle(personas))


def _only(bundle: Bundle, personas: Sequence[str]) -> Bundle:
    return bundle.only(*personas) if personas else bundle


def _no_source(name: str, got: object) -> InputError:
    return InputError(
        "is nothing that can be exported",
        file=name,
        field=OPTION,
        expected="a checkpoint (.ckpt), a bundle (.safetensors), a settings file (.yaml) or the folder of a run",
        got=got,
        fix="check the path, or train first",
    )
