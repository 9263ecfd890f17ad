"""Files of opinions: what is read, and how each fault is reported."""

import json

import pytest

from datamodules.opinions import read_opinions
from files.errors import InputError

TRAITS = ("extraversion", "neuroticism")


def record(topic="Tea", **changes):
    return {"ent": topic, "extraversion": ["Lovely!"], "neuroticism": ["Too hot.", "It spills."]} | changes


def read(tmp_path, content, with_target=False):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_opinions(path, TRAITS, with_target=with_target)


def test_reads_any_number_of_opinions_and_records(tmp_path):
    records = read(tmp_path, [record(), record("Zoë's café", target_per="neuroticism"), record("Rain")])
    assert [len(one.opinions["neuroticism"]) for one in records] == [2, 2, 2]
    assert [one.target for one in records] == [None, "neuroticism", None]


def test_unknown_keys_are_left_alone(tmp_path):
    assert read(tmp_path, [record(source="x"), record("Rain")])[0].opinions.keys() == set(TRAITS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no records"),
        ([], "holds no records"),
        ([record(), {"ent": "Rain", "extraversion": ["Wow."]}], "row 1, field 'neuroticism': is missing"),
        ([record(), record("Rain", extraversion=[])], "row 1, field 'extraversion': is empty"),
        ([record(), record("Rain", extraversion="Wow.")], "row 1, field 'extraversion': has the wrong type"),
        ([record(), record("Rain", extraversion=["Wow.", 7])], "field 'extraversion[1]': has the wrong type"),
        ([record(), record(7)], "row 1, field 'ent': has the wrong type"),
        ([record(), record("Rain", target_per="charm")], "row 1, field 'target_per': is not one of the traits"),
        ([record(), record("Rain", target_per=None)], "row 1, field 'target_per': has the wrong type"),
        ([record(), record(" TEA ")], "all records are about the same topic"),
        ([record()], "all records are about the same topic"),
        ([record(), "Rain"], "row 1: is not an object"),
    ],
)
def test_a_fault_is_named_with_its_place_and_the_next_step(tmp_path, content, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert f"{tmp_path / 'train.json'}" in str(caught.value)
    assert message in str(caught.value)
    assert "expected:" in str(caught.value) and "got:" in str(caught.value) and "next step:" in str(caught.value)


def test_a_test_record_must_name_its_target(tmp_path):
    with pytest.raises(InputError, match="row 0, field 'target_per': is missing"):
        read(tmp_path, [record(), record("Rain")], with_target=True)


def test_published_files_are_read(data_dir):
    records = read_opinions(
        data_dir / "personality_edit" / "test.json", ("extraversion", "agreeableness", "neuroticism"), with_target=True
    )
    assert all(one.target in one.opinions for one in records)
