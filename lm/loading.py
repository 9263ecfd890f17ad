"""Language models and tokenizers by name or folder: precision, quantisation, adapters, random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from files.errors import InputError
from lm.adapters import LoRASpec, PeftSpec, add_tokens, make_room, seeded, with_adapter

ModelT = TypeVar("ModelT", bound=nn.Module)

_SAMPLES_PER_TENSOR = 64
# Loaders of weights, tokenizers and settings report what a user got wrong in all of these ways.
_LOADING_FAULTS = (OSError, ValueError, ImportError, RuntimeError)


@dataclass
class LMSpec:
    """Which language model to use, and how.

    Attributes:
        name: A folder with config.json, safetensors weights and a tokenizer, or a model name on the Hugging Face hub.
        dtype: Number format of the weights; auto takes the one they are stored in.
        attn_implementation: How attention is computed; the model's own choice where it is left out.
        quantization: Load the weights in 4 or 8 bits (needs the quant extra).
        lora: Low-rank adapter to train; none where it is left out.
        peft: Any other adapter to train, in place of lora.
        new_tokens: Texts that become tokens of their own, such as <TIME-I>; their embeddings begin as the mean of all.
        random_init: Take only the settings from the folder and draw the weights at random.
        revision: Branch, tag or commit on the hub.
        sites: Names of the modules inside a block, for an architecture that is not known (see lm.sites).
        tokenizer: Folder or name of the tokenizer where it is not the model's own.
        seed: Seed of random weights and of a new adapter.
    """

    name: str
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] | None = None
    quantization: Literal["4bit", "8bit"] | None = None
    lora: LoRASpec | None = None
    peft: PeftSpec | None = None
    new_tokens: list[str] | None = None
    random_init: bool = False
    revision: str | None = None
    sites: dict[str, Any] | None = None
    tokenizer: str | None = None
    seed: int = 0


def load_model(spec: LMSpec) -> PreTrainedModel:
    """The model a spec asks for, in eval mode, with its adapter if it has one.

    No code from a model folder is run, and weights are read from safetensors only. What is trainable is as the library
    leaves it: everything, or only the adapter where there is one; `freeze` is the caller's choice.

    Raises:
        InputError: The folder or name is unknown, the weights are missing, incomplete or unreadable, or an option does
            not suit the model.
    """
    _check_folder(spec.name, "config.json")
    with explained(spec.name, "the model cannot be loaded"):
        model = _random_model(spec) if spec.random_init else _stored_model(spec)
    tokens: list[int] = []
    if spec.new_tokens:
        tokenizer = load_tokenizer(spec)
        make_room(model, tokenizer, spec.new_tokens)
        tokens = tokenizer.convert_tokens_to_ids(spec.new_tokens)
    return adapted(model, spec, tokens).eval()


def adapted(model: PreTrainedModel, spec: LMSpec, new_tokens: Sequence[int] = ()) -> PreTrainedModel:
    """A model with the adapter of a spec, or as it is where there is none.

    Args:
        model: The model.
        spec: Names the adapter and its seed.
        new_tokens: Ids of the spec's new tokens, whose embeddings an adapter trains as well.

    Raises:
        InputError: The adapter does not fit the model, or there are two.
    """
    if spec.lora is not None and spec.peft is not None:
        raise InputError("two adapters are named", field="lm.peft", expected="lora or peft", fix="remove one of them")
    adapter = spec.lora or spec.peft
    if adapter is None:
        return model
    return with_adapter(model, adapter, spec.seed, new_tokens, bits=spec.quantization is not None)


def without_adapter(spec: LMSpec) -> LMSpec:
    """The spec of the same model as it is without an adapter.

    >>> without_adapter(LMSpec("model", lora=LoRASpec())).lora is None
    True
    """
    return replace(spec, lora=None, peft=None)


def load_tokenizer(spec: LMSpec) -> PreTrainedTokenizerBase:
    """The tokenizer of a spec's model, with a padding token (the end-of-text token where it has none of its own).

    Raises:
        InputError: The folder or name is unknown, or the tokenizer has neither a padding nor an end-of-text token.
    """
    name = spec.tokenizer or spec.name
    _check_folder(name, "tokenizer_config.json")
    with explained(name, "the tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=spec.revision, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "the tokenizer has no padding and no end-of-text token",
                file=name,
                fix="set pad_token in its tokenizer_config.json",
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    if spec.new_tokens:
        add_tokens(tokenizer, spec.new_tokens)
    return tokenizer


def freeze(model: ModelT) -> ModelT:
    """Stop gradients to every parameter of a model, and return it."""
    return model.requires_grad_(False)


def model_hash(model: PreTrainedModel | str | Path) -> str:
    """A fingerprint of a model: a few settings, and the names, shapes and sampled values of its weights.

    Sampled values are compared as bfloat16, so that a model loaded as float32 and as bfloat16 has one hash. (Loaded as
    float16 it may differ where the stored format is float32, and quantised weights are another model.) Adapters (LoRA)
    are left out: a model and its adapted form have the same hash.

    Args:
        model: A loaded model, or the folder of one.

    Raises:
        InputError: The folder holds no loadable model.
    """
    if isinstance(model, str | Path):
        model = load_model(LMSpec(str(model), dtype="auto"))
    digest = hashlib.sha256(repr(_shape_settings(model.config)).encode())
    weights = {_plain_name(name): weight for name, weight in model.named_parameters() if not _is_adapters(name)}
    for name in sorted(weights):
        flat = weights[name].detach().reshape(-1)
        step = max(1, flat.numel() // _SAMPLES_PER_TENSOR)
        sample = flat[::step][:_SAMPLES_PER_TENSOR].to(torch.bfloat16).view(torch.int16).cpu()
        digest.update(f"{name}{tuple(weights[name].shape)}{sample.tolist()}".encode())
    return digest.hexdigest()


def _stored_model(spec: LMSpec) -> PreTrainedModel:
    model, report = AutoModelForCausalLM.from_pretrained(
        spec.name,
        dtype=spec.dtype,
        attn_implementation=spec.attn_implementation,
        quantization_config=_quantization(spec),
        revision=spec.revision,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    absent = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if absent:
        raise InputError(
            f"{len(absent)} weights of the model are missing from the folder or have another shape",
            file=spec.name,
            expected="a weight for every parameter of the architecture in config.json",
            got=absent[:3],
            fix="check that weights and config.json belong together",
        )
    return model


def _random_model(spec: LMSpec) -> PreTrainedModel:
    if spec.quantization is not None:
        raise InputError(
            "random weights cannot be quantised", field="quantization", got=spec.quantization, fix="leave it out"
        )
    config = AutoConfig.from_pretrained(spec.name, revision=spec.revision, trust_remote_code=False)
    dtype = config.dtype or torch.float32 if spec.dtype == "auto" else getattr(torch, spec.dtype)
    with seeded(spec.seed):
        return AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=spec.attn_implementation, trust_remote_code=False
        )


def _quantization(spec: LMSpec) -> Any:
    """The transformers configuration of a quantised load, None for a plain one."""
    if spec.quantization is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise InputError(
            "quantised loading needs a package that is not installed",
            field="quantization",
            expected="the package bitsandbytes",
            got=spec.quantization,
            fix='pip install "oceantune[quant]", or leave quantization out',
        )
    from transformers import BitsAndBytesConfig

    if spec.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.bfloat16 if spec.dtype == "auto" else getattr(torch, spec.dtype)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def _check_folder(name: str, needed: str) -> None:
    """Refuse a folder that is not there or not a model, before the hub is asked for a model of that name."""
    folder = Path(name).expanduser()
    if not name.strip():
        raise InputError("no model was named", field="lm.name", expected="a folder or a model name", got=name)
    if folder.is_dir():
        if not (folder / needed).is_file() and not (folder / "adapter_config.json").is_file():
            raise InputError(
                f"the folder holds no {needed}", file=name, fix="give the folder that save_pretrained wrote"
            )
    elif folder.exists():
        raise InputError("a model is a folder, not a file", file=name, fix="give the folder that holds config.json")
    elif name.startswith(("/", "./", "../", "~", "assets/")) or name.count("/") > 1:
        raise InputError("no such model folder", file=name, fix="check the path, taken from the current folder")


@contextmanager
def explained(name: str, problem: str) -> Iterator[None]:
    """Turn the libraries' loading failures into one message for the user."""
    try:
        yield
    except _LOADING_FAULTS as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{problem}: {reason}",
            file=name,
            expected="a folder with config.json and safetensors weights, or a model name on the hub",
            fix="check the name; for a hub model also the network, and for a gated one `hf auth login`",
        ) from error
    except InputError:
        raise
    except Exception as error:  # there is no end to what damaged weights and settings can make the libraries raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{problem}: {reason}", file=name, fix="fetch or write the model's files again") from error


def _shape_settings(config: PreTrainedConfig) -> list[tuple[str, object]]:
    """The settings that no weight's shape tells, in an order of their own."""
    text = config.get_text_config()
    names = ("model_type", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps")
    return [(name, getattr(text, name, None)) for name in names]


def _plain_name(name: str) -> str:
    """A parameter's name in the model without adapters."""
    plain = name.removeprefix("base_model.model.")
    for added in (".base_layer", ".token_adapter", ".original_module"):
        plain = plain.replace(added, "")
    return plain


def _is_adapters(name: str) -> bool:
    """Whether a parameter belongs to an adapter, whose names all say which one."""
    return "lora_" in name or ".default" in name
