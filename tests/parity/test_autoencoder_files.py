"""Files of sparse autoencoders, made here in the published layouts, give the reconstruction that their definition says.

The definitions are worked out with numpy from the arrays that went into the files.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from files.errors import InputError
from interventions.autoencoder_files import read_autoencoder, write_autoencoder
from interventions.features import check_autoencoder, feature_direction

WIDTH, FEATURES, K = 7, 20, 5
ARRAYS = {
    name: np.random.default_rng(number).normal(size=shape).astype(np.float32)
    for number, (name, shape) in enumerate(
        {"W_enc": (WIDTH, FEATURES), "b_enc": (FEATURES,), "W_dec": (FEATURES, WIDTH), "b_dec": (WIDTH,)}.items()
    )
}
THRESHOLD = np.abs(np.random.default_rng(9).normal(size=FEATURES)).astype(np.float32)
INPUTS = np.random.default_rng(10).normal(size=(11, WIDTH)).astype(np.float32)


def decoded(features):
    return features @ ARRAYS["W_dec"] + ARRAYS["b_dec"]


def jumped(start=INPUTS):
    values = start @ ARRAYS["W_enc"] + ARRAYS["b_enc"]
    return np.where(values > THRESHOLD, np.maximum(values, 0), 0)


def largest(start):
    values = start @ ARRAYS["W_enc"] + ARRAYS["b_enc"]
    cut = -np.sort(-values, axis=-1)[:, K - 1 : K]
    return np.where(values >= cut, np.maximum(values, 0), 0)


def agrees(stored, expected):
    torch.testing.assert_close(stored.network(torch.from_numpy(INPUTS)), torch.from_numpy(expected.astype(np.float32)))


def gemma_scope(folder, suffix=".npz", **changes):
    path = folder / f"params{suffix}"
    arrays = {**ARRAYS, "threshold": THRESHOLD, **changes}
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file({name.lower(): value for name, value in arrays.items()}, path)
    return path


def sae_lens(folder, arrays=None, **config):
    folder.mkdir(exist_ok=True)
    save_file(ARRAYS if arrays is None else arrays, folder / "sae_weights.safetensors")
    settings = {
        "architecture": "standard",
        "d_in": WIDTH,
        "d_sae": FEATURES,
        "dtype": "float32",
        "device": "cuda",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"model_name": "some-model", "hook_name": "blocks.3.hook_resid_post", "sae_lens_version": "6.0"},
    }
    (folder / "cfg.json").write_text(json.dumps({**settings, **config}))
    return folder


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_gemma_scope(tmp_path, suffix):
    stored = read_autoencoder(gemma_scope(tmp_path, suffix))
    agrees(stored, decoded(jumped()))
    assert stored.layer is None and check_autoencoder(stored, 2, 4, WIDTH) == 2


def test_sae_lens_topk(tmp_path):
    stored = read_autoencoder(sae_lens(tmp_path / "sae", architecture="topk", k=K))
    agrees(stored, decoded(largest(INPUTS - ARRAYS["b_dec"])))
    assert (stored.layer, stored.model) == (3, "some-model") and check_autoencoder(stored, None, 4, WIDTH) == 3


def test_sae_lens_jump_relu(tmp_path):
    arrays = {**ARRAYS, "threshold": THRESHOLD}
    folder = sae_lens(tmp_path / "sae", arrays, architecture="jumprelu", apply_b_dec_to_input=False)
    agrees(read_autoencoder(folder), decoded(jumped()))


def test_sae_lens_of_an_earlier_version(tmp_path):
    old = {"hook_name": "blocks.3.hook_resid_pre", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
    stored = read_autoencoder(sae_lens(tmp_path / "sae", metadata={}, **old))
    agrees(stored, decoded(largest(INPUTS - ARRAYS["b_dec"])))
    # what enters block 3 has left block 2
    assert stored.layer == 2


@pytest.mark.parametrize("architecture", ["topk", "jumprelu", "standard"])
def test_what_is_written_is_read_again_as_it_was(tmp_path, architecture):
    arrays = {**ARRAYS, "threshold": THRESHOLD} if architecture == "jumprelu" else ARRAYS
    first = read_autoencoder(sae_lens(tmp_path / "a", arrays, architecture=architecture, k=K))
    again = read_autoencoder(write_autoencoder(tmp_path / "b", first.network, 3, "some-model"))
    assert again.network.form == first.network.form and (again.layer, again.model) == (3, "some-model")
    inputs = torch.from_numpy(INPUTS)
    assert torch.equal(again.network(inputs), first.network(inputs))
    config = json.loads((tmp_path / "b" / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "blocks.3.hook_resid_post" and config["d_sae"] == FEATURES


def test_nothing_in_an_npz_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").write_text, ("boom",))

    path = tmp_path / "params.npz"
    np.savez(path, **{**ARRAYS, "threshold": np.array([Bomb()], dtype=object)})
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read_autoencoder(path)
    assert not (tmp_path / "exploded").exists()


NAN = np.where(np.arange(FEATURES) == 3, np.nan, THRESHOLD).astype(np.float32)
BROKEN = {
    "missing": (lambda folder: folder / "none.npz", "does not exist"),
    "no archive": (lambda folder: _written(folder / "a.npz", b"PK\x03\x04 no archive"), "cannot be read as arrays"),
    "cut off": (lambda folder: _written(folder / "a.npz", gemma_scope(folder).read_bytes()[:200]), "cannot be read"),
    "no weights": (lambda folder: _written(folder / "a.safetensors", b"abc"), "cannot be read"),
    "nan": (lambda folder: gemma_scope(folder, threshold=NAN), "not finite"),
    "shape": (lambda folder: gemma_scope(folder, b_enc=ARRAYS["b_enc"][:-1]), "another shape"),
    "more": (lambda folder: gemma_scope(folder, W_skip=ARRAYS["b_enc"]), "has no place"),
    "hook": (lambda folder: sae_lens(folder, metadata={"hook_name": "blocks.3.hook_mlp_out"}), "output of a decoder"),
    "embedding": (lambda folder: sae_lens(folder, metadata={"hook_name": "blocks.0.hook_resid_pre"}), "decoder block"),
    "gated": (lambda folder: sae_lens(folder, architecture="gated"), "not known here"),
    "scaled": (lambda folder: sae_lens(folder, normalize_activations="expected_average_only_in"), "not known here"),
    "heads": (lambda folder: sae_lens(folder, reshape_activations="hook_z"), "not known here"),
    "size": (lambda folder: sae_lens(folder, d_sae=FEATURES + 1), "another size"),
    "k": (lambda folder: sae_lens(folder, architecture="topk", k=FEATURES + 1), "expected k"),
    "no k": (lambda folder: sae_lens(folder, architecture="topk"), "wrong type"),
    "no encoder": (lambda folder: sae_lens(folder, {"W_dec": ARRAYS["W_dec"]}), "no encoder"),
}


def _written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(tmp_path, name):
    make, message = BROKEN[name]
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_autoencoder(path)
    assert str(tmp_path) in str(caught.value.file)


def test_an_autoencoder_of_another_model_or_layer_is_refused(tmp_path):
    stored = read_autoencoder(sae_lens(tmp_path / "sae"))
    with pytest.raises(InputError, match="another width"):
        check_autoencoder(stored, None, 4, WIDTH + 1)
    with pytest.raises(InputError, match="another layer"):
        check_autoencoder(stored, 1, 4, WIDTH)
    with pytest.raises(InputError, match="no such layer"):
        check_autoencoder(stored, None, 3, WIDTH)
    with pytest.raises(InputError, match="nothing of its layer"):
        check_autoencoder(read_autoencoder(gemma_scope(tmp_path)), None, 4, WIDTH)


def test_a_direction_is_the_weighted_sum_of_decoder_rows(tmp_path):
    network = read_autoencoder(gemma_scope(tmp_path)).network
    expected = 2.0 * ARRAYS["W_dec"][4] - 0.5 * ARRAYS["W_dec"][0]
    torch.testing.assert_close(feature_direction(network, {4: 2.0, 0: -0.5}), torch.from_numpy(expected))
    with pytest.raises(InputError, match="no such feature"):
        feature_direction(network, {FEATURES: 1.0})
