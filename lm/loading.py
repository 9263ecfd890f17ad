"""Language models and tokenizers by name or folder: precision, quantisation, adapters, random weights."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

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

ModelT = TypeVar("ModelT", bound=nn.Module)

_SAMPLES_PER_TENSOR = 64
# Loaders of weights, tokenizers and settings report what a user got wrong in all of these ways.
_LOADING_FAULTS = (OSError, ValueError, ImportError, RuntimeError)


@dataclass
class LoRASpec:
    """A low-rank adapter to train beside the frozen weights (through peft).

    Attributes:
        r: Rank of the adapter.
        alpha: Its scale; the update is multiplied by alpha / r.
        dropout: Share of the adapter's inputs dropped in training.
        target_modules: Names of the linear layers to adapt, such as q_proj; all of them where it is left out.
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: list[str] | None = None


@dataclass
class LMSpec:
    """Which language model to use, and how.

    Attributes:
        name: A folder with config.json, safetensors weights and a tokenizer, or a model name on the Hugging Face hub.
        dtype: Number format of the weights; auto takes the one they are stored in.
        attn_implementation: How attention is computed; the model's own choice where it is left out.
        quantization: Load the weights in 4 or 8 bits (needs the quant extra).
        lora: Adapter to train; none where it is left out.
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
    with _explained(spec.name, "the model cannot be loaded"):
        model = _random_model(spec) if spec.random_init else _stored_model(spec)
    if spec.lora is not None:
        model = _with_adapter(model, spec.lora, spec)
    return model.eval()


def load_tokenizer(spec: LMSpec) -> PreTrainedTokenizerBase:
    """The tokenizer of a spec's model, with a padding token (the end-of-text token where it has none of its own).

    Raises:
        InputError: The folder or name is unknown, or the tokenizer has neither a padding nor an end-of-text token.
    """
    name = spec.tokenizer or spec.name
    _check_folder(name, "tokenizer_config.json")
    with _explained(name, "the tokenizer cannot be loaded"):
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
    weights = {_plain_name(name): weight for name, weight in model.named_parameters() if "lora_" not in name}
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
    with _seeded(spec.seed):
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


def _with_adapter(model: PreTrainedModel, lora: LoRASpec, spec: LMSpec) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if spec.quantization is not None:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
        fan_in_fan_out=model.config.model_type == "gpt2",
        task_type="CAUSAL_LM",
    )
    try:
        with _seeded(spec.seed), warnings.catch_warnings():
            # peft 0.21 still asks for an attribute that transformers 5.23 has renamed.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return cast(PreTrainedModel, get_peft_model(model, config))
    except ValueError as error:
        raise InputError(
            f"the adapter does not fit the model: {error}",
            field="lora",
            got=lora.target_modules,
            fix="name linear layers of this model in lora.target_modules",
        ) from error


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
def _explained(name: str, problem: str) -> Iterator[None]:
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
    except Exception as error:
        # safetensors has an error of its own for damaged files that shares no base with the above.
        if type(error).__name__ != "SafetensorError":
            raise
        raise InputError(f"{problem}: {error}", file=name, fix="fetch or write the weights again") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed inside the block and leave the program's own random state as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _shape_settings(config: PreTrainedConfig) -> list[tuple[str, object]]:
    """The settings that no weight's shape tells, in an order of their own."""
    text = config.get_text_config()
    names = ("model_type", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps")
    return [(name, getattr(text, name, None)) for name in names]


def _plain_name(name: str) -> str:
    """A parameter's name in the model without adapters."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")
