"""The command line of `export.py`."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser

from deployment.edits import TextEdit, read_edits
from deployment.exporting import DType, Form, form_of, write_export
from deployment.model_card import model_card
from deployment.sources import Wanted, read_source
from files.assets import asset_path
from files.atomic import atomic_write_text
from files.errors import InputError
from files.fresh_folder import check_empty, fresh_folder
from files.parser_errors import PlainErrors
from metrics.result_rows import read_results

CARD = "README.md"


def export(
    source: str,
    out: str,
    form: Form = "auto",
    personas: list[str] | None = None,
    edits: str | None = None,
    topics: list[str] | None = None,
    model: str | None = None,
    ckpt_path: str | None = None,
    prompt: str = "plain",
    results: str | None = None,
    dtype: DType = "float32",
    with_base: bool = False,
    other_weights: bool = False,
) -> None:
    """Write what was trained or learnt for other programs.

    Args:
        source: a checkpoint (.ckpt), a bundle (.safetensors), a settings file of evaluate.py (.yaml), or the folder of
            a run
        out: the folder to write, which must be empty or not there yet
        form: weights, adapter, bias, bundle or control_vector; auto takes what most programs can load
        personas: whom to export: names in a bundle, or levels of traits such as extraversion+ or openness=-0.5
        edits: topics with opinions to edit by, as PersonalityEdit publishes its test set (for a MEND checkpoint)
        topics: only these topics of the edits
        model: the base model, where it is not the one that the source names
        ckpt_path: the checkpoint that a settings file needs, where it is not the one its trained_by has trained
        prompt: plain or described, the kind of prompts whose strengths are taken from a PAS checkpoint
        results: results.json whose figures go into the model card; by default the one beside the source
        dtype: number format of whole weights; float32 answers as inside, the others take half the room
        with_base: put the base model beside a bundle, so that the folder is all that is needed
        other_weights: accept a base model of the same sizes with other weights than a bundle was made for

    Raises:
        InputError: Something in the options or the source is wrong, or the folder is not empty.
    """
    check_empty(out)
    if results is not None:
        read_results(results)
    texts: list[TextEdit] = read_edits(asset_path(edits), topics) if edits is not None else []
    wanted = Wanted(model, ckpt_path, personas or (), texts, prompt, other_weights)
    found = read_source(source, wanted)
    chosen = form_of(found, form)
    if with_base and chosen != "bundle":
        raise InputError(
            "is for bundles", field="--with_base", expected="--form bundle", got=chosen, fix="leave it out"
        )
    with fresh_folder(out) as folder:
        written = write_export(found, chosen, folder, dtype, with_base)
        name = asset_path(out).absolute().name
        card = model_card(found, written, name, asset_path(results) if results is not None else found.results)
        atomic_write_text(folder / CARD, card)
    sys.stdout.write(f"{found.method} as {chosen}: {out}\n{out}/{CARD} says how to load it\n")


def run(arguments: list[str]) -> None:
    """Carry out a command line.

    Raises:
        InputError: The user gave something wrong.
        SystemExit: The arguments cannot be parsed (code 2), or help was asked for.
    """
    export(**_parser().parse_args(arguments).as_dict())


def _parser() -> ArgumentParser:
    parser = PlainErrors(
        prog="export.py",
        usage="python export.py SOURCE --out FOLDER [--KEY VALUE ...]",
        description="Write what was trained or learnt for other programs (python export.py --help is a short page).",
    )
    kinds = "a checkpoint (.ckpt), a bundle (.safetensors), a settings file of evaluate.py (.yaml), or a run's folder"
    parser.add_argument("source", metavar="SOURCE", help=kinds)
    parser.add_function_arguments(export, skip={"source"}, as_group=False, as_positional=False)
    return parser
