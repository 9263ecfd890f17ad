"""States of texts: those of the model itself, whatever the company, the order and the padding side; and features."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from interventions.autoencoder import AutoencoderForm, SparseAutoencoder
from interventions.feature_recording import MeanFeatures, separation
from interventions.places import places_of
from interventions.text_states import answer_features, answer_means, prompt_ends
from lm.chat import encode_chats, encode_prompts
from tests.models import ARCHITECTURES, byte_tokenizer, random_model
from tests.unit.interventions.steered import numbers

PROMPTS = [[{"role": "user", "content": "the " * n + "end"}] for n in (5, 1, 3)]
CHATS = [[*prompt, {"role": "assistant", "content": "an ing" * (n + 1)}] for n, prompt in enumerate(PROMPTS)]
LAYERS = [0, 1]


def hidden(model, ids):
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return states


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_end_of_a_prompt_is_what_the_model_computes_for_it_alone(architecture):
    model, tokenizer = random_model(architecture, layers=3), byte_tokenizer()
    found = prompt_ends(model, tokenizer, places_of(model), PROMPTS, LAYERS, batch_size=8)
    for row, ids in enumerate(encode_prompts(tokenizer, PROMPTS)):
        states = hidden(model, ids)
        for place, layer in enumerate(LAYERS):
            torch.testing.assert_close(found[row, place], states[layer + 1][0, -1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_neither_padding_side_nor_company_changes_a_state(side, batch_size):
    model, tokenizer = random_model(layers=3), byte_tokenizer()
    expected = prompt_ends(model, byte_tokenizer(), places_of(model), PROMPTS, LAYERS, 1)
    means = answer_means(model, byte_tokenizer(), places_of(model), CHATS, LAYERS, 1)
    tokenizer.padding_side = side
    found = prompt_ends(model, tokenizer, places_of(model), PROMPTS[::-1], LAYERS, batch_size)
    torch.testing.assert_close(found.flip(0), expected, rtol=1e-4, atol=1e-5)
    found = answer_means(model, tokenizer, places_of(model), CHATS[::-1], LAYERS, batch_size)
    torch.testing.assert_close(found.flip(0), means, rtol=1e-4, atol=1e-5)


def test_answer_means_and_features_count_the_answer_alone():
    model, tokenizer = random_model(layers=3), byte_tokenizer()
    network = SparseAutoencoder(AutoencoderForm("topk", 32, 50, k=5), torch.Generator().manual_seed(3))
    means = answer_means(model, tokenizer, places_of(model), CHATS, LAYERS, 2)
    features = answer_features(model, tokenizer, places_of(model), CHATS, 1, 2, MeanFeatures(network))
    for row, chat in enumerate(encode_chats(tokenizer, CHATS)):
        states = hidden(model, chat.ids)
        mask = torch.tensor(chat.answer_mask)
        torch.testing.assert_close(means[row, 1], states[2][0, mask].mean(0), rtol=1e-4, atol=1e-4)
        encoded = network.encode(states[2][0, mask]).mean(0)
        torch.testing.assert_close(features[row], encoded, rtol=1e-3, atol=1e-4)


def test_separation_is_the_area_under_the_curve():
    high, low = numbers(2, 9, 13, seed=1).round(decimals=0), numbers(2, 6, 13, seed=2).round(decimals=0) - 0.5
    low = low.round()
    found = separation(high, low)
    assert found.shape == (2, 13)
    for group in range(2):
        for feature in range(13):
            values = torch.cat([high[group, :, feature], low[group, :, feature]])
            expected = roc_auc_score([1] * 9 + [0] * 6, values.numpy())
            assert float(found[group, feature]) == pytest.approx(expected, abs=1e-6)
