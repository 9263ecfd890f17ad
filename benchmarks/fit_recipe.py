"""From a recipe's settings to the memory that its run needs in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.fit_formula import (
    FLOAT32,
    Need,
    backward_pass,
    edit_network_parameters,
    edited_widths,
    forward_pass,
    kept_states,
    low_rank_parameters,
    training_state,
)
from benchmarks.model_shapes import Shape, settings_of, shape_of
from files.errors import InputError

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "auto": 2.0}
_QUANTISED = {"4bit": 0.56, "8bit": 1.06}
_GATED_ROLES, _PLAIN_ROLES = ("gate", "up", "down"), ("fc", "proj")
# Texts of PersonalityEdit, in tokens with their padding: what an edit is made from.
_EDIT_TOKENS = 64
# The share of an opinion's text that is its answer, whose logits are made; the rest asks.
_ANSWER_SHARE = 2 / 3


@dataclass(frozen=True)
class Assumed:
    """What no recipe says.

    Attributes:
        prompt_tokens: Longest prompt, where the data module does not bound it.
        processes: Processes that trained weights are shared out over.
    """

    prompt_tokens: int = 256
    processes: int = 1


@dataclass(frozen=True)
class _Run:
    """What the parts are worked out from."""

    shape: Shape
    size: float
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    assumed: Assumed

    @property
    def number(self) -> int:
        """Bytes of an activation."""
        return 4 if self.size >= FLOAT32 else 2


def needed(settings: Mapping[str, Any], assumed: Assumed | None = None) -> Need:
    """The memory that a recipe needs in one process.

    Args:
        settings: The recipe, several files merged.
        assumed: What it does not say.

    Raises:
        InputError: It names no model, a model of unknown shape, or a module whose memory is not known here.
    """
    model, data = _section(settings, "model"), _section(settings, "data")
    lm = _lm(model)
    config = settings_of(str(lm["name"]), lm.get("revision"))
    shape = shape_of(config)
    precision = str((settings.get("trainer") or {}).get("precision") or "")
    size = _BYTES.get(str(lm.get("dtype") or "float32"), 4.0)
    stored = _QUANTISED.get(str(lm.get("quantization")), size)
    run = _Run(
        shape, 2.0 if precision.startswith(("bf16", "16")) else size, model["init_args"], data, assumed or Assumed()
    )
    need = Need()
    kind = str(model["class_path"]).rpartition(".")[2]
    if kind not in _KINDS:
        raise InputError(
            "is a module whose memory is not worked out",
            field="model.class_path",
            expected=", ".join(sorted(_KINDS)),
            got=kind,
            fix="give the recipe of one of these",
        )
    shared = run.assumed.processes if kind in ("SFTModule", "DPOModule") else 1
    need.add("weights", shape.parameters * stored / shared)
    _KINDS[kind](run, need)
    return need


def _number(section: Any, name: str, otherwise: int) -> int:
    """A whole number of the recipe, or what is taken where it names none."""
    value = section.get(name) if isinstance(section, Mapping) else None
    if value is None:
        return otherwise
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(
            "is no number to reckon with",
            field=name,
            expected="a whole number from 1",
            got=value,
            fix="correct the recipe",
        )
    return value


def _fine_tuning(run: _Run, need: Need) -> None:
    _trained_weights(run, need)
    tokens = _tokens_per_batch(run)
    need.add("activations", backward_pass(run.shape, tokens, run.number), passing=True)


def _preferences(run: _Run, need: Need) -> None:
    _trained_weights(run, need)
    if run.model.get("reference") == "copy":
        need.add("reference", run.shape.parameters * run.size)
    tokens = 2 * _number(run.data, "batch_size", 1) * _number(run.data, "max_tokens", run.assumed.prompt_tokens)
    need.add("activations", backward_pass(run.shape, tokens, run.number), passing=True)


def _reinforcement(run: _Run, need: Need) -> None:
    _trained_weights(run, need)
    if run.model.get("reference") == "copy":
        need.add("reference", run.shape.parameters * run.size)
    length = run.assumed.prompt_tokens + _number(run.model.get("rollouts"), "max_new_tokens", 32)
    rows = _number(run.model.get("ppo"), "minibatch", 64)
    need.add("activations", backward_pass(run.shape, rows * length, run.number, predicted=rows * 32), passing=True)
    written = _number(run.model.get("rollouts"), "rows", 64)
    need.add("kept states", kept_states(run.shape, written * length, run.number), passing=True)


def _editing(run: _Run, need: Need) -> None:
    shape, transform = run.shape, run.model.get("transform") or {}
    layers = run.model.get("layers")
    count = len(layers) if layers else _number(run.model, "last_layers", 3)
    first = min(layers) if layers else shape.layers - count
    roles = run.model.get("weights") or (_GATED_ROLES if shape.gated else _PLAIN_ROLES)
    widths = edited_widths(shape, roles, count)
    trained = edit_network_parameters(widths, _number(transform, "rank", 1920), int(transform.get("n_hidden", 1)))
    need.add("network", trained * FLOAT32 / run.assumed.processes)
    need.add("gradients and optimizer", training_state(trained, FLOAT32) / run.assumed.processes)
    edits = _number(run.data, "batch_size", 1)
    one = sum(map(sum, widths)) * edits * _EDIT_TOKENS * FLOAT32
    # The factors as they come and as they leave the network, its narrow part, and the leaves with their gradients.
    need.add("factors", 4 * one)
    chunk = _number(run.model.get("loss"), "chunk_tokens", 256)
    above = shape.layers - first
    # The edit's own texts go through in one piece.
    for name, tokens in (("chunk", chunk), ("inner pass", edits * _EDIT_TOKENS)):
        answered = int(_ANSWER_SHARE * tokens)
        size = backward_pass(shape, tokens, run.number, predicted=answered, blocks=above, frozen=True)
        need.add(name, size, passing=True)


def _answering(run: _Run, need: Need) -> None:
    rows = _number(run.model, "rows", 32)
    length = run.assumed.prompt_tokens + _number(run.model, "max_new_tokens", 60)
    need.add("kept states", kept_states(run.shape, rows * length, run.number))
    tokens = rows * run.assumed.prompt_tokens
    need.add("activations", forward_pass(run.shape, tokens, run.number, predicted=rows), passing=True)


def _autoencoder(run: _Run, need: Need) -> None:
    features = _number(run.model, "features", 8 * run.shape.hidden)
    trained = 2 * run.shape.hidden * features + features + run.shape.hidden
    need.add("network", trained * FLOAT32)
    need.add("gradients and optimizer", training_state(trained, FLOAT32))
    tokens = _tokens_per_batch(run)
    need.add("activations", tokens * (4 * features + 6 * run.shape.hidden) * FLOAT32, passing=True)
    # Training ends its pass at the layer; only validation asks what the model then says, with the features beside it.
    kept = tokens * (features + 2 * run.shape.hidden) * FLOAT32
    validated = forward_pass(run.shape, tokens, run.number, predicted=tokens)
    need.add("validation", kept + validated, passing=True)


def _classifier(run: _Run, need: Need) -> None:
    need.add("gradients and optimizer", training_state(run.shape.parameters, int(run.size)))
    tokens = _number(run.data, "batch_size", 32) * _number(run.data, "max_tokens", run.assumed.prompt_tokens)
    need.add("activations", backward_pass(run.shape, tokens, run.number, predicted=0), passing=True)


_KINDS = {
    "ClassifierModule": _classifier,
    "SFTModule": _fine_tuning,
    "DPOModule": _preferences,
    "PPOModule": _reinforcement,
    "MENDModule": _editing,
    "PASModule": _answering,
    "EvalModule": _answering,
    "SAEModule": _autoencoder,
}


def _trained_weights(run: _Run, need: Need) -> None:
    lm = run.model["lm"]
    lora = lm.get("lora")
    if lora is not None:
        trained = low_rank_parameters(run.shape, int(lora.get("r") or 8))
        need.add("adapter", trained * FLOAT32)
        need.add("gradients and optimizer", training_state(trained, FLOAT32))
        return
    need.add("gradients and optimizer", training_state(run.shape.parameters, int(run.size)) / run.assumed.processes)


def _tokens_per_batch(run: _Run) -> int:
    if "tokens_per_batch" in run.data or "batches" in run.data:
        return _number(run.data, "tokens_per_batch", 2048)
    return _number(run.data, "batch_size", 8) * _number(run.data, "max_tokens", 1024)


def _section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = settings.get(name)
    if not isinstance(section, dict) or "class_path" not in section:
        raise InputError(
            f"has no section {name} with a class_path",
            field=name,
            expected="a recipe of train.py or evaluate.py",
            got=type(section).__name__,
            fix="give its YAML file as --recipe; pieces such as configs/cluster/ddp.yaml follow as further ones",
        )
    section.setdefault("init_args", {})
    return section if name == "model" else dict(section["init_args"] or {})


def _lm(model: Mapping[str, Any]) -> Mapping[str, Any]:
    lm = (model["init_args"] or {}).get("lm")
    if not isinstance(lm, dict) or not lm.get("name"):
        raise InputError("names no language model", field="model.init_args.lm.name", fix="give a recipe that names one")
    return lm
