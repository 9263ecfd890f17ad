"""Sparse autoencoders of a block's output: one network for the forms that published weights come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from interventions.jump_relu import jump_relu

Architecture = Literal["topk", "jumprelu", "standard"]
Normalization = Literal["none", "constant_norm_rescale", "layer_norm"]
_TINY = 1e-5


@dataclass(frozen=True)
class AutoencoderForm:
    """What a sparse autoencoder computes, beside its weights.

    Attributes:
        architecture: How features are chosen: the k largest, those above their own thresholds, or all above 0.
        width: Width D of what is encoded.
        features: Number of features F.
        k: Features that may be active at once; for `topk` alone.
        centred: Whether the decoder's bias is taken off before encoding.
        by_decoder_norm: Whether `topk` ranks and scales features by the length of their decoder rows.
        normalization: What is done to an input before, and undone after.
    """

    architecture: Architecture
    width: int
    features: int
    k: int | None = None
    centred: bool = False
    by_decoder_norm: bool = False
    normalization: Normalization = "none"

    def __post_init__(self) -> None:
        if self.architecture == "topk" and not (self.k and 1 <= self.k <= self.features):
            raise ValueError(f"expected k from 1 to {self.features} for topk, but got {self.k}")


class SparseAutoencoder(nn.Module):
    """Writes a vector as a sum of few rows of a decoder.

    Args:
        form: What it computes.
        generator: Draws the weights at the start: decoder rows of length 1, and the encoder as their transpose.

    Attributes:
        encoder: (D, F).
        encoder_bias: (F,).
        decoder: (F, D), a row per feature.
        decoder_bias: (D,).
        threshold: (F,); for `jumprelu` alone.
    """

    def __init__(self, form: AutoencoderForm, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.form = form
        rows = torch.randn(form.features, form.width, generator=generator or torch.Generator().manual_seed(0))
        rows = rows / rows.norm(dim=-1, keepdim=True)
        self.encoder = nn.Parameter(rows.T.clone())
        self.encoder_bias = nn.Parameter(torch.zeros(form.features))
        self.decoder = nn.Parameter(rows)
        self.decoder_bias = nn.Parameter(torch.zeros(form.width))
        self.threshold: nn.Parameter | None = None
        if form.architecture == "jumprelu":
            self.threshold = nn.Parameter(torch.zeros(form.features))

    def pre_activations(self, inputs: Tensor) -> Tensor:
        """What the features are chosen by.

        Args:
            inputs: (..., D), normalised.

        Returns:
            (..., F).
        """
        centred = inputs - self.decoder_bias if self.form.centred else inputs
        values = centred @ self.encoder + self.encoder_bias
        return values * self.decoder.norm(dim=-1) if self.form.by_decoder_norm else values

    def chosen(self, values: Tensor, bandwidth: float = 0.001) -> Tensor:
        """Features (..., F), mostly 0, of their pre-activations.

        Args:
            values: (..., F).
            bandwidth: As in `jump_relu`.
        """
        if self.form.architecture == "topk":
            top, places = values.topk(self.form.k or 1, dim=-1, sorted=False)
            return torch.zeros_like(values).scatter(-1, places, top.relu())
        if self.threshold is not None:
            return jump_relu(values, self.threshold.relu(), bandwidth)
        return values.relu()

    def encode(self, inputs: Tensor) -> Tensor:
        """Features (..., F) of inputs (..., D)."""
        normalised, _ = self._normalised(inputs)
        return self.chosen(self.pre_activations(normalised))

    def decode(self, features: Tensor) -> Tensor:
        """Inputs (..., D), normalised, that features (..., F) stand for."""
        if self.form.by_decoder_norm:
            features = features / self.decoder.norm(dim=-1)
        return features @ self.decoder + self.decoder_bias

    def forward(self, inputs: Tensor) -> Tensor:
        """The reconstruction of inputs (..., D), in their own format."""
        normalised, undo = self._normalised(inputs.to(self.decoder.dtype))
        return undo(self.decode(self.chosen(self.pre_activations(normalised)))).to(inputs.dtype)

    def rescaled(self, scale: float) -> SparseAutoencoder:
        """The same for inputs that were not multiplied by `scale` before; decoder rows keep their length.

        Args:
            scale: What the inputs of this one are multiplied by.
        """
        with torch.no_grad():
            other = SparseAutoencoder(self.form)
            state = {name: value.detach().clone() for name, value in self.state_dict().items()}
            for name in ("encoder_bias", "decoder_bias", "threshold"):
                if name in state:
                    state[name] = state[name] / scale
            other.load_state_dict(state)
        return other.to(self.decoder.device)

    def _normalised(self, inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Inputs as they are encoded, and the way back for their reconstruction."""
        if self.form.normalization == "none":
            return inputs, lambda values: values
        if self.form.normalization == "constant_norm_rescale":
            factor = self.form.width**0.5 / inputs.norm(dim=-1, keepdim=True)
            return inputs * factor, lambda values: values / factor
        mean = inputs.mean(-1, keepdim=True)
        spread = (inputs - mean).std(-1, keepdim=True)
        return (inputs - mean) / (spread + _TINY), lambda values: values * spread + mean
