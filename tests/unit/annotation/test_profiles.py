"""Descriptions of people from their answers, and backgrounds from attributes."""

import json

import pytest

from annotation.options import WriterOptions
from annotation.profiles import describe_people, drawn_attributes, read_attributes, write_backgrounds
from annotation.steps import StepFolder
from annotation.writers import BUILT_IN
from files.errors import InputError
from personas.backgrounds import SENTENCES
from personas.participants import read_descriptions
from personas.questionnaire import Item, Participant
from tests.faults.endpoint import FaultyEndpoint

ITEMS = [
    Item(1, "Talk a lot.", "extraversion", 1),
    Item(2, "Keep quiet.", "extraversion", -1),
    Item(3, "Worry.", "neuroticism", 1),
]
PEOPLE = [Participant("17", 0, (5, 1, 3)), Participant("18", 1, (1, 5, 0))]


def test_descriptions_are_read_as_papi_reads_them(tmp_path):
    line = describe_people(StepFolder(tmp_path), PEOPLE, ITEMS, None)
    found = read_descriptions(tmp_path / "personality_prompt.json", PEOPLE)
    assert set(found) == {"17", "18"} and found["17"] != found["18"] and "2 people" in line
    content = json.loads((tmp_path / "personality_prompt.json").read_text())
    assert {entry["backend"] for entry in content} == {BUILT_IN} and content[0]["case"] == 17


def test_a_model_describes_from_the_answers(tmp_path):
    with FaultyEndpoint(answer=lambda said: said) as endpoint:
        writer = WriterOptions(base_url=endpoint.base_url, model="m", progress=False).model_writer(StepFolder(tmp_path))
        describe_people(StepFolder(tmp_path), PEOPLE, ITEMS, writer)
    found = read_descriptions(tmp_path / "personality_prompt.json", PEOPLE)
    assert "Talk a lot.: Very accurate" in found["17"] and "Keep quiet.: Very inaccurate" in found["17"]
    assert "Worry." in found["17"] and "Worry." not in found["18"]


def test_backgrounds_hold_attributes_sentences_and_a_story(tmp_path):
    people = drawn_attributes(5, 1)
    assert people == drawn_attributes(5, 1)
    write_backgrounds(StepFolder(tmp_path), people, None)
    content = json.loads((tmp_path / "backgrounds.json").read_text())
    assert [entry["idx"] for entry in content] == list(range(5))
    for entry, values in zip(content, people, strict=True):
        assert entry["attributes"] == values
        for name, value in values.items():
            assert entry["fixed_bg"][name] == SENTENCES[name][value] in entry["generative_bg"]
        assert entry["backend"] == BUILT_IN


@pytest.mark.parametrize("content", ["{}", "[]", "[[]]", '[{"attributes": {}}]', '[{"Age": 7}]'])
def test_faulty_attributes_are_refused(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="a.json"):
        read_attributes(tmp_path / "a.json")


def test_published_attributes_are_read(data_dir, tmp_path):
    found = read_attributes(data_dir / "persona_steering" / "background_coeff.json")
    assert found and all(found)
    write_backgrounds(StepFolder(tmp_path), found, None)
    written = json.loads((tmp_path / "backgrounds.json").read_text())
    published = json.loads((data_dir / "persona_steering" / "background_coeff.json").read_text())
    assert [entry["attributes"] for entry in written] == [entry["attributes"] for entry in published]
    assert all(
        type(ours[name]) is type(theirs[name])
        for ours, theirs in zip(written, published, strict=True)
        for name in ("idx", "fixed_bg", "generative_bg")
    )
