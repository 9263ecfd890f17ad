"""The model that a run begins with where another run has trained it already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from files.errors import InputError
from files.provenance import data_hash
from lightning_modules.trained import rebuilt
from lm.adapters import merged
from lm.loading import LMSpec, adapted, load_tokenizer, without_adapter

OPTION = "model.init_args.init_from"
# Where a run of this program leaves its last weights, and where they lie in the folder of its checkpoints.
_PLACES = ("checkpoints/last.ckpt", "last.ckpt", "checkpoints/weights.ckpt")


@dataclass
class Start:
    """What a run begins with.

    Attributes:
        lm: The model as the earlier run left it, with this run's adapter beside it.
        model_hash: Fingerprint of the model that the earlier run began with.
        file_hash: Fingerprint of its checkpoint.
    """

    lm: PreTrainedModel
    model_hash: str | None
    file_hash: str


def start_model(init_from: str, spec: LMSpec) -> Start:
    """Rebuild the model of an earlier run, put its adapter into its weights, and add this run's.

    Args:
        init_from: The run's folder or its checkpoint.
        spec: The model both runs are of, and this run's adapter.

    Raises:
        InputError: There is no such run, it was of another model or changes no weights, or an adapter cannot be put
            into quantised weights.
    """
    path = checkpoint_of(init_from)
    try:
        earlier = rebuilt(path, without_adapter(spec))
    except InputError as error:
        error.field = OPTION
        raise
    if hasattr(earlier, "intervene") or not any(weight.requires_grad for weight in earlier.lm.parameters()):
        raise InputError(
            f"the method {earlier.method} changes no weights that training could go on from",
            file=path,
            field=OPTION,
            expected="a run of sft, dpo or ppo",
            fix="give another run",
        )
    if spec.quantization is not None and earlier.lm_spec != without_adapter(earlier.lm_spec):
        raise InputError(
            "an adapter cannot be put into quantised weights",
            file=path,
            field=OPTION,
            expected="a run without quantization, or without an adapter",
            got=spec.quantization,
            fix="leave quantization out, or begin with a model that the earlier run's adapter was merged into",
        )
    tokens = load_tokenizer(spec).convert_tokens_to_ids(spec.new_tokens) if spec.new_tokens else []
    lm = adapted(merged(earlier.lm).requires_grad_(True), spec, tokens).eval()
    return Start(lm, earlier.model_hash, data_hash(path))


def checkpoint_of(run: str) -> Path:
    """The checkpoint that is meant by a run's folder, or by its own path.

    Raises:
        InputError: There is none.
    """
    path = Path(run)
    for candidate in (path, *(path / place for place in _PLACES)):
        if candidate.is_file():
            return candidate
    raise InputError(
        "holds no trained weights" if path.is_dir() else "does not exist",
        file=path,
        field=OPTION,
        expected=f"the folder of a run, with {_PLACES[0]}, or a checkpoint",
        fix="check the path, or train that run first",
    )
