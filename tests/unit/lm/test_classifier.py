"""Classifiers of traits: what labels mean, probabilities that depend on the text alone, faults."""

import pytest
import torch

from files.errors import InputError
from lm.classifier import ClassifierSpec, TraitClassifier, head_of, load_classifier, poles_of
from personas.traits import TRAITS
from tests.classifiers import LABELS, save_classifier

TEXTS = ["the long answer in the evening", "", "I sing", "an other thing " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifier"))


def test_a_text_is_read_the_same_alone_and_beside_others(folder):
    together = TraitClassifier(ClassifierSpec(str(folder), max_tokens=64), TRAITS).probabilities(TEXTS)
    alone = TraitClassifier(ClassifierSpec(str(folder), max_tokens=64, batch_size=1), TRAITS)
    assert together.shape == (len(TEXTS), len(LABELS)) and alone.poles == LABELS
    torch.testing.assert_close(together.sum(-1), torch.ones(len(TEXTS)).double())
    for text, row in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(alone.probabilities([text])[0], row, rtol=1e-5, atol=1e-6)


def test_no_texts_have_no_probabilities(folder):
    assert TraitClassifier(ClassifierSpec(str(folder)), TRAITS).probabilities([]).shape == (0, len(LABELS))


def test_labels_are_mapped_by_name_not_by_place():
    config = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    meanings = {"LABEL_2": "extraversion+", "LABEL_0": "high neuroticism", "LABEL_1": "agreeableness"}
    assert poles_of(config, meanings, TRAITS, "x") == ("neuroticism+", "agreeableness+", "extraversion+")


@pytest.mark.parametrize(
    ("labels", "meanings", "parts"),
    [
        (("LABEL_0", "LABEL_1"), None, ("LABEL_0", "--classifier.labels", "name no trait")),
        (("positive", "neutral"), None, ("positive",)),
        (("extraversion", "high extraversion"), None, ("one meaning",)),
        (("LABEL_0", "LABEL_1"), {"LABEL_7": "openness+"}, ("LABEL_7", "no such label")),
        (("LABEL_0", "LABEL_1"), {"LABEL_0": "openness+", "LABEL_1": "mood"}, ("mood",)),
    ],
)
def test_a_classifier_with_other_labels_is_refused(labels, meanings, parts):
    with pytest.raises(InputError) as caught:
        poles_of(dict(enumerate(labels)), meanings, TRAITS, "some/classifier")
    assert all(part in str(caught.value) for part in ("some/classifier", "next step", *parts))


@pytest.mark.parametrize("name", ["assets/no-such-classifier", "/nowhere/classifier", "a/b/c"])
def test_a_classifier_that_is_not_there_is_refused(name):
    with pytest.raises(InputError, match="no such classifier"):
        TraitClassifier(ClassifierSpec(name), TRAITS)


def test_a_language_model_is_no_classifier(tiny_lm_dir):
    with pytest.raises(InputError, match="weights of the classifier are missing"):
        load_classifier(ClassifierSpec(str(tiny_lm_dir)))


def test_a_new_head_has_the_labels_that_are_given(folder):
    model = load_classifier(ClassifierSpec(str(folder)), labels=["a", "b"])
    assert head_of(model).out_features == 2 and model.config.id2label == {0: "a", 1: "b"}
