"""The base of every trained approach: one language model, checkpoints of what is trained, checks when they are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Self

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn.modules.module import _IncompatibleKeys
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.errors import InputError
from lightning_modules.shards import built_whole
from lm.loading import LMSpec, load_model, load_tokenizer, model_hash

HEADER = "oceantune"
_LM_PREFIX = "lm."
_NAMES_SHOWN = 3


class PersonaModule(LightningModule):
    """Loads the language model and keeps checkpoints small and checked.

    A checkpoint holds what is trained: every parameter that requires a gradient, and every parameter and buffer outside
    the language model. A header names the method and the model it was trained on. Reading compares both, and the names
    and shapes of the tensors both ways.

    Args:
        lm: The language model.
        init_from: A run or checkpoint whose trained weights this one begins with; what an adapter of it has learnt is
            put into the weights first.

    Attributes:
        lm: The loaded model, from `configure_model` on.
        tokenizer: Its tokenizer, from `configure_model` on.
    """

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    # Trained parts whose weights may be shared out over processes: they are used by calling them alone, and all
    # processes call them equally often, whatever their data.
    shared_parts: tuple[str, ...] = ()

    def __init__(self, lm: LMSpec, init_from: str | None = None) -> None:
        super().__init__()
        # Collects the arguments of the subclass; what is kept of them is plain and goes into the header.
        self.save_hyperparameters(logger=False)
        self.lm_spec = lm
        self.init_from = init_from
        self.model_hash: str | None = None
        self.start_hash: str | None = None

    @property
    def method(self) -> str:
        """Name of the method in checkpoints and results."""
        return type(self).__name__.removesuffix("Module").lower()

    def configure_model(self) -> None:
        """Load the model and the tokenizer, once; a subclass freezes or adds to it after calling this.

        Raises:
            InputError: They cannot be loaded.
        """
        if self.model_hash is not None:
            return
        self.tokenizer = load_tokenizer(self.lm_spec)
        with built_whole():
            if self.init_from is None:
                self.lm = load_model(self.lm_spec)
                self.model_hash = model_hash(self.lm)
                return
            from lightning_modules.starting import start_model  # which rebuilds modules, and so needs this file

            start = start_model(self.init_from, self.lm_spec)
            self.lm, self.model_hash, self.start_hash = start.lm, start.model_hash, start.file_hash

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; a model that is frozen stays in evaluation mode, without dropout."""
        super().train(mode)
        if self._is_frozen():
            self.lm.eval()
        return self

    def on_fit_start(self) -> None:
        """Keep the Trainer from warning that a frozen model is in evaluation mode."""
        if self._is_frozen():
            warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")

    def _is_frozen(self) -> bool:
        """Whether there is a model, and nothing of it is trained."""
        return self.model_hash is not None and not any(one.requires_grad for one in self.lm.parameters())

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The trained tensors; the frozen ones of the language model are left out."""
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        trained = {name for name, value in self.named_parameters(remove_duplicate=False) if value.requires_grad}
        frozen = [
            name for name in state if name.startswith(prefix + _LM_PREFIX) and name.removeprefix(prefix) not in trained
        ]
        for name in frozen:
            del state[name]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Read the trained tensors after comparing names and shapes both ways; the frozen ones stay as they are.

        Raises:
            InputError: A tensor is missing, unknown, or of another shape.
        """
        check_names(self.state_dict(), state_dict)
        super().load_state_dict(state_dict, strict=False, assign=assign)
        return _IncompatibleKeys([], [])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the header: method, model, and what it takes to build the module again, in plain types."""
        checkpoint.pop("hyper_parameters", None)
        checkpoint[HEADER] = {
            "method": self.method,
            "model": self.lm_spec.name,
            "model_hash": self.model_hash,
            "start_hash": self.start_hash,
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "settings": {name: plain(value) for name, value in self.hparams.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the header with this run.

        Raises:
            InputError: The checkpoint is of another program, method or model.
        """
        header = checkpoint.get(HEADER)
        if not isinstance(header, dict):
            raise InputError(
                "the checkpoint was not written by this program", field="ckpt_path", fix="give a checkpoint of train.py"
            )
        if header.get("method") != self.method:
            raise InputError(
                "the checkpoint is of another method",
                field="ckpt_path",
                expected=self.method,
                got=header.get("method"),
                fix="give a checkpoint of this method, or set model.class_path to that of the checkpoint",
            )
        if header.get("model_hash") != self.model_hash:
            raise InputError(
                "the checkpoint was trained on another model",
                field="ckpt_path",
                expected=f"{self.lm_spec.name} ({str(self.model_hash)[:12]})",
                got=f"{header.get('model')} ({str(header.get('model_hash'))[:12]})",
                fix="set model.init_args.lm.name to the model of the checkpoint, or give another checkpoint",
            )
        if self.start_hash is not None and header.get("start_hash") != self.start_hash:
            raise InputError(
                "the adapter of the checkpoint was trained on top of another start",
                file=self.init_from,
                field="ckpt_path",
                expected=f"the start it was trained from ({str(header.get('start_hash'))[:12]})",
                got=self.start_hash[:12],
                fix=f"put the checkpoint that the run began with back in its place, {self.init_from}",
            )


def plain(value: Any) -> Any:
    """A setting as something that a checkpoint may hold: text, numbers, lists and dictionaries.

    >>> plain({"lm": LMSpec("model", seed=3), "betas": (0.9, 0.95)})["lm"]["seed"]
    3
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def check_names(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Compare the tensors a module has with those of a checkpoint.

    >>> check_names({"steps": 1}, {"steps": 2})

    Raises:
        InputError: A tensor is missing, unknown, or of another shape.
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise InputError(
            "the checkpoint does not fit the module",
            field="ckpt_path",
            expected=f"{len(expected)} tensors",
            got=f"missing {_some(missing)}; unknown {_some(unknown)}",
            fix="use the settings it was trained with",
        )
    for name, value in expected.items():
        other = found[name]
        if isinstance(value, Tensor) and (not isinstance(other, Tensor) or value.shape != other.shape):
            raise InputError(
                f"the checkpoint holds {name} in another shape",
                field="ckpt_path",
                expected=str(tuple(value.shape)),
                got=tuple(getattr(other, "shape", ())),
                fix="use the settings it was trained with",
            )


def _some(names: Iterable[str]) -> str:
    """The first names of a list, and how many there are."""
    names = list(names)
    return f"{len(names)} ({', '.join(names[:_NAMES_SHOWN])})" if names else "none"
