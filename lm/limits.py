"""How many tokens a model can read at once."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from files.errors import InputError
from lm.loading import LMSpec, explained


def position_limit(config: PreTrainedConfig) -> int | None:
    """The longest text a model of these settings can read, in tokens; None where nothing says so.

    >>> from transformers import LlamaConfig
    >>> position_limit(LlamaConfig(max_position_embeddings=512))
    512
    """
    text = config.get_text_config()
    scaling = (getattr(text, "rope_parameters", None) or {}).get("rope_type", "default")
    limit = getattr(text, "max_position_embeddings", None)
    # Scaled rotary embeddings are made to go beyond the length in the configuration.
    return limit if isinstance(limit, int) and scaling == "default" else None


def stored_limit(spec: LMSpec) -> int | None:
    """The same of a model that is not loaded; None also for an adapter's folder, which only names its model.

    Raises:
        InputError: The folder or name is unknown.
    """
    folder = Path(spec.name).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        return None
    with explained(spec.name, "the settings of the model cannot be read"):
        return position_limit(AutoConfig.from_pretrained(spec.name, revision=spec.revision, trust_remote_code=False))


def check_length(
    model: PreTrainedModel, tokens: int, what: str, shorten: str = "the prompts or max_new_tokens"
) -> None:
    """Refuse texts that are longer than the positions a model knows.

    Args:
        model: The model.
        tokens: Length of the longest text.
        what: What the text is, for the message.
        shorten: What the user can shorten.

    Raises:
        InputError: They are.
    """
    limit = position_limit(model.config)
    if limit is not None and tokens > limit:
        raise InputError(
            f"{what} is longer than the model can read",
            expected=f"at most {limit} tokens",
            got=tokens,
            fix=f"shorten {shorten}, or take a model with more positions",
        )
