"""A model of transformers under an intervention from a folder, for programs that know nothing else of this project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from files.assets import asset_path
from files.errors import InputError
from files.readers import read_json, require
from interventions.applied import Intervention, applied
from interventions.bundle import Bundle, load_bundle
from interventions.weights import LowRankEdit
from lm.loading import LMSpec, freeze, load_model

BUNDLE_FILE, SETTINGS_FILE, BASE_FOLDER = "bundle.safetensors", "steering.json", "base"
FORMAT = 1


class SteeredModel(nn.Module):
    """A language model that answers as a persona of a bundle; called, and asked to generate, as the model itself is.

    Its weights are those of the base model; hooks are set for the length of a call and then taken away.

    Args:
        model: The base model.
        bundle: What to do to it.
        persona: Who all rows of a batch are under; the bundle's first persona if left out.
        strength: Multiplies the bundle; 0 is the base model, bit for bit.
        tokenizer: Of the model, where one is at hand.

    Attributes:
        persona: As given; may be changed between calls.
        strength: As given; may be changed between calls.

    Raises:
        InputError: The bundle has no such persona.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        bundle: Bundle,
        persona: str | None = None,
        strength: float = 1.0,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.bundle = bundle
        self.persona = bundle.personas[0] if persona is None else persona
        self.strength = strength
        self.tokenizer = tokenizer
        bundle.only(self.persona)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        base: str | None = None,
        persona: str | None = None,
        strength: float = 1.0,
        dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
        other_weights: bool = False,
    ) -> SteeredModel:
        """Load a model and a bundle from a folder that `export.py` wrote.

        Args:
            folder: The folder.
            base: The base model, where it is not the one that the folder holds or names.
            persona: As in the class.
            strength: As in the class.
            dtype: Number format of the base model.
            other_weights: Accept a base model of the same sizes with other weights, such as a fine-tuned one.

        Raises:
            InputError: The folder is no such folder, the base model is not there, or is another one.
        """
        root = Path(folder)
        settings = root / SETTINGS_FILE
        if not settings.is_file():
            raise InputError(
                "holds no steered model",
                file=root,
                expected=f"a folder with {SETTINGS_FILE} and {BUNDLE_FILE}, as export.py writes it",
                fix="check the path; a folder with plain weights is loaded by AutoModelForCausalLM",
            )
        noted = read_json(settings)
        if not isinstance(noted, dict) or noted.get("format") != FORMAT:
            raise InputError("is of an unknown format", file=settings, field="format", expected=str(FORMAT), got=noted)
        own = root / BASE_FOLDER
        named = str(own) if own.is_dir() else str(asset_path(require(noted, "base_model", str, file=settings)))
        model = freeze(load_model(LMSpec(base or named, dtype=dtype)))
        bundle = load_bundle(root / BUNDLE_FILE, model, sites=noted.get("sites"), other_weights=other_weights)
        tokenizer = AutoTokenizer.from_pretrained(root) if (root / "tokenizer_config.json").is_file() else None
        return cls(model, bundle, persona, strength, tokenizer)

    @property
    def config(self) -> Any:
        """Settings of the base model."""
        return self.model.config

    @property
    def device(self) -> Any:
        """Where the base model lies."""
        return self.model.device

    @contextmanager
    def steered(self, personas: Sequence[str] | None = None) -> Iterator[PreTrainedModel]:
        """The base model, under the intervention inside the block.

        Args:
            personas: Who each row of a batch is under; by default `persona` for all rows.

        Raises:
            InputError: The bundle has no such persona.
        """
        if personas is None:
            intervention = self._for_all_rows()
        else:
            self.bundle.only(*dict.fromkeys(personas))  # refuses names that it does not have
            intervention = self.bundle.intervention.rows([self.bundle.personas.index(name) for name in personas])
        with applied(self.model, intervention.scaled(float(self.strength)).to(self.device)):
            yield self.model

    def _for_all_rows(self) -> Intervention:
        """The intervention of `persona`, for batches of any size."""
        held = self.bundle.intervention
        if len(self.bundle.personas) == 1:
            return held
        if isinstance(held, LowRankEdit):  # laid out over rows it would hold for as many rows alone
            return held.only(self.bundle.personas.index(self.persona))
        return self.bundle.only(self.persona).intervention

    def forward(self, input_ids: Tensor, personas: Sequence[str] | None = None, **inputs: Any) -> Any:
        """What the steered model makes of a batch.

        Args:
            input_ids: (B, T).
            personas: As in `steered`, one for each of the B rows.
            inputs: Further arguments of the base model's call, such as `attention_mask`.
        """
        with self.steered(personas) as model:
            return model(input_ids=input_ids, **inputs)

    def generate(self, input_ids: Tensor, personas: Sequence[str] | None = None, **options: Any) -> Any:
        """What the steered model writes, as `generate` of transformers returns it.

        Args:
            input_ids: (B, T).
            personas: As in `forward`; with beams or several texts per prompt, one for each of the rows these make.
            options: Further arguments of transformers' `generate`.
        """
        with self.steered(personas) as model:
            return model.generate(input_ids=input_ids, **options)
