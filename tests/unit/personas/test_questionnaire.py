"""Item keys, splits and people, as published and faulty."""

import json

import pytest

from files.errors import InputError
from personas.item_key import read_item_key
from personas.participants import read_descriptions, read_participants
from personas.questionnaire import Item, read_split, split_items
from tests.papi import as_csv, item_row, person_row, write_papi

ITEMS = [Item(n, f"Do {n}.", "openness", 1, short=n if n < 3 else None) for n in (1, 2, 3)]


def key_file(tmp_path, rows):
    path = tmp_path / "key.csv"
    path.write_text(as_csv(rows), encoding="utf-8")
    return path


def test_both_forms_of_an_item_key_say_the_same(tmp_path):
    items = read_item_key(key_file(tmp_path, [item_row(n) for n in range(12)]))
    listed = tmp_path / "list.csv"
    rows = [
        {"label_raw": "Trust", "text": i.text, "label_ocean": i.trait[0].upper(), "key": i.key} for i in items.values()
    ]
    listed.write_text(as_csv(rows), encoding="utf-8")
    others = read_item_key(listed, order=list(items))
    assert [(i.text, i.trait, i.key) for i in items.values()] == [(i.text, i.trait, i.key) for i in others.values()]
    assert items[1].trait == "openness" and items[1].key == 1 and items[6].key == -1
    assert items[1].short == 1 and items[12].facet == "assertiveness" or items[12].facet


def test_a_workbook_is_read_like_its_table(data_dir):
    numbers = read_split(data_dir / "papi" / "mpi_300_split.json")
    order = [*numbers["train_index"], *numbers["test_index"]]
    workbook = read_item_key(data_dir / "papi" / "IPIP-NEO-ItemKey.xls")
    table = read_item_key(data_dir / "papi" / "mpi_300.csv", order)
    assert workbook.keys() == table.keys()
    for number, item in workbook.items():
        other = table[number]
        assert (item.text, item.trait, item.key, item.facet) == (other.text, other.trait, other.key, other.facet)


def test_a_statement_gets_its_full_stop(tmp_path):
    items = read_item_key(
        key_file(tmp_path, [item_row(0, Item="Sing"), item_row(1, Item="Cry!"), item_row(2, Item="Run.")])
    )
    assert [item.text for item in items.values()] == ["Sing.", "Cry!", "Run."]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"Sign": "N1"}, ("row 3", "'Sign'", "has no sign", "N1")),
        ({"Sign": ""}, ("row 3", "'Sign'", "has no sign")),
        ({"Full#": 1}, ("row 3", "'Full#'", "is there twice")),
        ({"Full#": "two"}, ("row 3", "'Full#'", "no item number")),
        ({"Key": "N2"}, ("row 3", "'Key'", "another key")),
        ({"Sign": "+X1", "Key": "X1"}, ("row 3", "'Key'", "no known trait")),
        ({"Item": "Do thing 0."}, ("row 3", "'Item'", "is there twice")),
        ({"Item": " "}, ("row 3", "'Item'", "is empty")),
    ],
)
def test_a_faulty_item_is_reported(tmp_path, changes, parts):
    path = key_file(tmp_path, [item_row(0), item_row(1, **changes)])
    with pytest.raises(InputError) as error:
        read_item_key(path)
    for part in (str(path), *parts):
        assert part in str(error.value)


def test_what_is_no_workbook_is_reported(tmp_path):
    path = tmp_path / "key.xls"
    path.write_text("Full#,Sign\n1,+N1\n", encoding="utf-8")
    with pytest.raises(InputError, match="workbook"):
        read_item_key(path)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train_index": [1, 9], "test_index": [2]}, r"train_index\[1\].*does not have"),
        ({"train_index": [1, 2], "test_index": [2]}, r"test_index\[0\].*already"),
        ({"train_index": [1], "test_index": ["2"]}, r"test_index\[0\].*wrong type"),
        ({"train_index": [1]}, "test_index.*is missing"),
        ({"train_index": [1], "test_index": []}, "test_index.*is empty"),
    ],
)
def test_a_faulty_split_is_reported(tmp_path, split, message):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(split), encoding="utf-8")
    with pytest.raises(InputError, match=f"(?s){message}"):
        split_items(read_split(path), {item.number: item for item in ITEMS}, path)


def table(tmp_path, rows, kind):
    path = tmp_path / f"people.{kind}"
    texts = {"json": json.dumps(rows), "jsonl": "".join(json.dumps(row) + "\n" for row in rows), "csv": as_csv(rows)}
    path.write_text(texts[kind], encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_people_come_out_alike_from_every_kind_of_table(tmp_path, kind):
    path = table(tmp_path, [person_row(n, 3, i2=0) for n in range(5)], kind)
    people = list(read_participants(path, ITEMS))
    assert [person.case for person in people] == ["100", "101", "102", "103", "104"]
    assert [person.position for person in people] == [0, 1, 2, 3, 4]
    assert list(people[1].answers) == [person_row(1, 3)["i1"], 0, person_row(1, 3)["i3"]]


def test_the_short_form_has_numbers_of_its_own(tmp_path):
    items = [Item(7, "Do 7.", "openness", 1, short=2), Item(5, "Do 5.", "openness", 1, short=1)]
    path = table(tmp_path, [{"case": 1, "i1": 4, "i2": 2}], "json")
    for numbering in ("auto", "short"):
        assert list(next(read_participants(path, items, numbering)).answers) == [2, 4]
    with pytest.raises(InputError, match="i7"):
        next(read_participants(path, items, "full"))


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"i2": 6}, "i2"),
        ({"i2": -1}, "i2"),
        ({"i2": 2.5}, "i2"),
        ({"i2": "x"}, "i2"),
        ({"i2": ""}, "i2"),
        ({"i1": 0, "i2": 0, "i3": 0}, "i1"),
        ({"case": 100}, "case"),
        ({"case": ""}, "case"),
    ],
)
def test_a_faulty_person_is_reported(tmp_path, kind, changes, field):
    path = table(tmp_path, [person_row(0, 3), person_row(1, 3, **changes)], kind)
    with pytest.raises(InputError) as error:
        list(read_participants(path, ITEMS))
    assert f"row {1 if kind == 'json' else 3}" in str(error.value) and f"'{field}" in str(error.value)
    assert "next step" in str(error.value)


def test_true_is_no_answer(tmp_path):
    with pytest.raises(InputError, match="i2"):
        list(read_participants(table(tmp_path, [person_row(0, 3, i2=True)], "json"), ITEMS))


def test_descriptions_are_found_by_case_or_by_place(tmp_path):
    folder = write_papi(tmp_path / "papi")
    people = list(read_participants(folder / "Test-set.json", ITEMS))
    by_place = read_descriptions(folder / "personality_prompt.json", people[1:3])
    assert by_place == {"101": "You are person 1.", "102": "You are person 2."}
    path = tmp_path / "named.json"
    path.write_text(
        json.dumps([{"case": 102, "output": ["Two."]}, {"case": "101", "output": ["One."]}]), encoding="utf-8"
    )
    assert read_descriptions(path, people[1:3]) == {"101": "One.", "102": "Two."}
    with pytest.raises(InputError, match="case 100"):
        read_descriptions(path, people[:1])
