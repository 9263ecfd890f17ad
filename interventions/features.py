"""Features of a sparse autoencoder as directions to steer along."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from files.errors import InputError
from interventions.autoencoder import SparseAutoencoder
from interventions.autoencoder_files import StoredAutoencoder


def feature_direction(
    network: SparseAutoencoder, coefficients: Mapping[int, float], source: str = "features"
) -> Tensor:
    """The sum of decoder rows, each times its coefficient (D,), in float32 on the CPU.

    Args:
        network: The autoencoder.
        coefficients: From feature to coefficient.
        source: Where the features come from, for errors.

    Raises:
        InputError: The autoencoder has no such feature.
    """
    count = network.form.features
    wrong = [feature for feature in coefficients if not 0 <= feature < count]
    if wrong:
        raise InputError(
            "the autoencoder has no such feature",
            file=source,
            field="feature",
            expected=f"0 to {count - 1}",
            got=wrong[0],
            fix="take the autoencoder that the features were found in",
        )
    rows = network.decoder.detach().float().cpu()
    chosen = torch.tensor(list(coefficients), dtype=torch.long)
    weights = torch.tensor(list(coefficients.values()), dtype=torch.float32)
    return weights @ rows[chosen]


def check_autoencoder(stored: StoredAutoencoder, layer: int | None, layers: int, hidden_size: int) -> int:
    """See that a sparse autoencoder fits a model and a layer of it.

    Args:
        stored: The autoencoder.
        layer: The layer it is wanted for; None for the one its file names.
        layers: Layers of the model.
        hidden_size: Width of the model's block outputs.

    Returns:
        The layer.

    Raises:
        InputError: It was made for another width or layer, or no layer is known.
    """
    if stored.network.form.width != hidden_size:
        raise InputError(
            "the autoencoder has another width than the model",
            file=stored.file,
            field="d_in",
            expected=f"{hidden_size}, the model's hidden size",
            got=stored.network.form.width,
            fix="take an autoencoder that was trained on this model",
        )
    if layer is None and stored.layer is None:
        raise InputError(
            "says nothing of its layer",
            file=stored.file,
            field="layer",
            expected=f"a layer from 0 to {layers - 1}",
            fix="name the layer whose output it encodes",
        )
    if layer is not None and stored.layer is not None and layer != stored.layer:
        raise InputError(
            "the autoencoder belongs to another layer",
            file=stored.file,
            field="layer",
            expected=str(stored.layer),
            got=layer,
            fix="leave the layer out, or take another autoencoder",
        )
    chosen = stored.layer if layer is None else layer
    if chosen is None or not 0 <= chosen < layers:
        raise InputError(
            "the model has no such layer", file=stored.file, field="layer", expected=f"0 to {layers - 1}", got=chosen
        )
    return chosen
