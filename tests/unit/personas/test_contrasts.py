"""Contrast sets and feature patterns: read as published, refused by name where they are faulty."""

import json

import pytest

from files.errors import InputError
from organism.backgrounds import ATTRIBUTES
from personas.backgrounds import read_backgrounds
from personas.contrasts import read_contrasts
from personas.feature_patterns import read_feature_patterns

PATTERNS = [{"Layer": 3, "size": 20, "Details": {"Age": {"young": {"youth": 4, "boys": 7}, "older": {"age": 5}}}}]


def written(folder, content, name="file.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def test_both_forms_are_read(tmp_path):
    sets = read_contrasts(written(tmp_path, {"Low empathy": {"negative": "Cold.", "positive": ["Warm."]}}))
    assert sets["Low empathy"].positive == ("Warm.",) and sets["Low empathy"].negative == ("Cold.",)
    lines = [
        {"Openness": "Open 1.", "Openness_reversed": "Shut 1."},
        {"Openness_reversed": "Shut 2."},
        {"O": "Open 2."},
    ]
    sets = read_contrasts(written(tmp_path, "\n".join(json.dumps(line) for line in lines)))
    assert list(sets) == ["openness"]
    assert sets["openness"].positive == ("Open 1.", "Open 2.") and sets["openness"].negative == ("Shut 1.", "Shut 2.")
    assert len(sets["openness"]) == 2


FAULTY = {
    "unequal": ({"a": {"positive": ["x", "y"], "negative": ["z"]}}, "different length"),
    "empty class": ({"a": {"positive": ["x"], "negative": []}}, "no text on one side"),
    "one side": ({"a": {"positive": ["x"]}}, "lacks a side"),
    "no text": ({"a": {"positive": ["x"], "negative": [""]}}, "is no text"),
    "number": ({"a": {"positive": ["x"], "negative": [3]}}, "is no text"),
    "list": ([1], "no contrast file"),
    "nothing": ({}, "no contrast"),
    "depth": ('{"a": ' * 100_000, "nested too deeply"),
    "one end": ('{"Openness": "x"}', "no text on one side"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_contrasts_are_refused(tmp_path, name):
    content, message = FAULTY[name]
    with pytest.raises(InputError, match=message) as caught:
        read_contrasts(written(tmp_path, content))
    assert caught.value.file is not None
    with pytest.raises(InputError):
        read_contrasts(tmp_path / "missing.json")


def test_a_background_gives_its_features_and_unknown_values_are_told(tmp_path):
    patterns = read_feature_patterns(written(tmp_path, PATTERNS), ATTRIBUTES)
    assert (patterns.layer, patterns.size) == (3, 20)
    found, unknown = patterns.of({"Age": "young", "Gender": "female", "Family background": ""})
    assert found == {"Age": [4, 7]} and unknown == [("Gender", "female")]


def changed(**changes):
    return [{**PATTERNS[0], **changes}]


FAULTY_PATTERNS = {
    "attribute": (changed(Details={"Hair": {"red": {"hair": 1}}}), "attribute that there is not"),
    "feature": (changed(Details={"Age": {"young": {"youth": 20}}}), "no feature of the autoencoder"),
    "text": (changed(Details={"Age": {"young": {"youth": "4"}}}), "wrong type"),
    "no layer": ([{"size": 3, "Details": {}}], "missing"),
    "object": (PATTERNS[0], "no list"),
    "several": (PATTERNS + changed(Layer=4), "several layers"),
}


@pytest.mark.parametrize("name", FAULTY_PATTERNS)
def test_faulty_patterns_are_refused(tmp_path, name):
    content, message = FAULTY_PATTERNS[name]
    with pytest.raises(InputError, match=message):
        read_feature_patterns(written(tmp_path, content), ATTRIBUTES)
    if name == "several":
        assert read_feature_patterns(tmp_path / "file.json", ATTRIBUTES, 4).layer == 4


def test_the_published_files_are_read_as_they_are(data_dir):
    folder = data_dir / "persona_steering"
    sets = read_contrasts(folder / "prompts_data.json")
    assert sets and all(len(one) == 1 for one in sets.values())
    for path in folder.glob("features_*.json"):
        patterns = read_feature_patterns(path, ATTRIBUTES)
        people = read_backgrounds(folder / "background_coeff.json").characters
        results = [patterns.of(person.given) for person in people]
        assert any(found for found, _ in results)
    for path in folder.glob("background_features_*.json"):
        people = read_backgrounds(path).characters
        patterns = read_feature_patterns(path.with_name(path.name.removeprefix("background_")), ATTRIBUTES)
        told = [person for person in people if person.features]
        assert told
        # Where a value is known, the list names the pattern file's features.
        for person in told:
            found, _ = patterns.of(person.given)
            assert all(set(found[name]) == set(person.features[name]) for name in found if name in person.features)
    descriptions = read_contrasts(data_dir / "personality_bench" / "description.json")
    assert "openness" in descriptions
