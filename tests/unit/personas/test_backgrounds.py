"""Characters by background: keywords, sentences, and the published pattern files."""

import json

import pytest

from files.errors import InputError
from organism.backgrounds import ATTRIBUTES, background_text
from personas.backgrounds import SENTENCES, background_of, read_backgrounds


def pattern(**more):
    return {"idx": 4, "attributes": {"Gender": "male", "Age": ""}, "generative_bg": "", **more}


def written(tmp_path, records):
    path = tmp_path / "patterns.json"
    path.write_text(json.dumps(records))
    return path


def test_every_value_is_found_by_its_own_name_alone():
    for name, values in SENTENCES.items():
        for value in values:
            background, unknown = background_of([value.upper()])
            assert dict(background.values) == {name: value} and not unknown


def test_phrases_tell_several_values_and_the_first_of_an_attribute_counts():
    background, unknown = background_of(["poor student", "WEALTHY", "woman", "plays the flute"])
    assert dict(background.values) == {"Gender": "female", "Age": "young", "Socioeconomic status": "poor"}
    assert unknown == ["plays the flute"]
    assert background.text() == "You are a woman. You are still young. You have grown up poor."
    assert background_of([])[0].text() == ""


def test_the_built_in_world_knows_the_same_attributes_and_values():
    assert {name: list(values) for name, values in ATTRIBUTES.items()} == {
        name: list(values) for name, values in SENTENCES.items()
    }
    assert background_text({"Gender": "male"}) == "You are a man."


def test_pattern_files_are_read_and_unknown_values_counted(tmp_path):
    features = {"fixed": {"Gender": [3, 5], "Age": [7]}, "generative": None}
    records = [pattern(features=features), pattern(attributes={"Gender": "none", "Age": "older"}, idx="x")]
    found = read_backgrounds(written(tmp_path, records))
    first, second = found.characters
    assert (dict(first.values), first.features, first.name) == ({"Gender": "male"}, {"Gender": (3, 5)}, "4")
    assert (dict(second.values), second.features, second.name) == ({"Age": "older"}, {}, "x")
    assert found.skipped == 1
    assert [dict(one.given) for one in found.characters] == [{"Gender": "male"}, {"Gender": "none", "Age": "older"}]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (pattern(attributes={"Height": "tall"}), "row 0, field 'Height': unknown attribute"),
        (pattern(features={"fixed": {"Shoes": [1]}}), "field 'Shoes': unknown attribute"),
        (pattern(attributes={"Age": 7}), "field 'Age': has the wrong type"),
        (pattern(features={"fixed": {"Gender": [1.5]}}), "no list of features"),
        (pattern(features={"fixed": {"Gender": [-1]}}), "no list of features"),
        (pattern(generative_bg=3), "is no text"),
        ({"idx": 1}, "is missing"),
    ],
)
def test_faulty_patterns_end_with_their_place(tmp_path, record, message):
    with pytest.raises(InputError, match=message):
        read_backgrounds(written(tmp_path, [record]))


def test_the_published_files(data_dir):
    folder = data_dir / "persona_steering"
    files = sorted(folder.glob("background_*.json"))
    assert files
    for path in files:
        found = read_backgrounds(path)
        named = [
            len([value for value in record["attributes"].values() if value]) for record in json.loads(path.read_text())
        ]
        assert [len(one.values) for one in found.characters] == named and found.skipped == 0
        if "features" in path.name:
            assert all(one.features.keys() == one.values.keys() for one in found.characters)
