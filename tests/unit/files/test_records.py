"""Records from files of every form and from the hub's library."""

import json

import pytest

from files.errors import InputError
from files.records import read_records

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("list.json", json.dumps(ROWS, indent=1), 0),
        ("lines.json", "".join(json.dumps(row) + "\n" for row in ROWS) + "\n\n", 1),
        ("lines.jsonl", "\ufeff" + "\n".join(map(json.dumps, ROWS)), 1),
    ],
)
def test_lists_and_lines_are_told_apart_by_their_content(tmp_path, name, text, first):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(read_records(tmp_path / name)) == list(enumerate(ROWS, start=first))


def test_a_table(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,x\n", encoding="utf-8")
    assert list(read_records(tmp_path / "table.csv")) == [(2, {"a": "1", "b": "x"})]


@pytest.mark.parametrize(("lines", "row"), [(["{}", "", "{}"], 2), (["", "{}"], 1), (["{}", "{}", "  ", "", "{}"], 3)])
def test_a_blank_line_between_records_is_a_fault(tmp_path, lines, row):
    (tmp_path / "lines.json").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="is blank") as fault:
        list(read_records(tmp_path / "lines.json"))
    assert fault.value.row == row


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list(read_records(tmp_path / "none.json"))


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A folder that `datasets` loads as it loads a data set of the hub."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    (folder / "test").mkdir(parents=True)
    for split in ("train", "validation"):
        lines = [{**row, "b": f"{row['b']} {split}"} for row in ROWS]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def test_a_hub_data_set_by_split_under_its_usual_names_and_as_a_whole(hub_folder):
    assert [row["b"] for _, row in read_records(f"hub:{hub_folder}", "train")] == ["x train", "y train"]
    assert [row["b"] for _, row in read_records(f"hub:{hub_folder}", "val")] == ["x validation", "y validation"]
    assert [number for number, _ in read_records(f"hub:{hub_folder}")] == [0, 1, 2, 3]


def test_one_file_of_a_hub_data_set(hub_folder):
    (hub_folder / "test" / "Openness.json").write_text('{"question": "Why?"}\n{"question": "How?"}\n')
    found = read_records(f"hub:{hub_folder}", file="test/Openness.json")
    assert [row["question"] for _, row in found] == ["Why?", "How?"]


def test_an_unknown_split_and_an_unknown_data_set_say_what_to_do(hub_folder, tmp_path):
    with pytest.raises(InputError, match="has no split 'dev'") as fault:
        list(read_records(f"hub:{hub_folder}", "dev"))
    assert "train" in fault.value.expected and fault.value.fix
    with pytest.raises(InputError, match="cannot be loaded from the hub") as fault:
        list(read_records(f"hub:{tmp_path}/none", "test"))
    assert fault.value.fix
