"""Long JSON lists read record by record."""

import json
import tracemalloc

import pytest

import files.json_stream
from files.errors import InputError
from files.json_stream import read_json_records

RECORDS = [
    {"case": 1, "text": 'a "]} \\" [{'},
    {},
    {"deep": [{"x": [1, 2]}], "n": -1.5e3, "ok": True, "no": None},
    {"ü": "é"},
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 16])
@pytest.mark.parametrize("indent", [None, 2])
def test_the_records_are_those_of_the_file(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(files.json_stream, "CHUNK", chunk)
    path = tmp_path / "people.json"
    path.write_text(json.dumps(RECORDS, indent=indent, ensure_ascii=False), encoding="utf-8-sig")
    assert list(read_json_records(path)) == list(enumerate(RECORDS))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a list"),
        (b"{}", "is not a list"),
        (b'[{"a": 1}', "row 1.*is not a list of objects"),
        (b'[{"a": 1} {"a": 2}]', "row 1.*comma"),
        (b'[{"a": 1}, 7]', "row 1.*is not an object"),
        (b'[{"a": 1}, {"a": ', "row 1.*ends inside"),
        (b'[{"a": 1}, {"a": x}]', "row 1.*is not JSON"),
        (b'[{"a": 1}, {"a": NaN}]', "row 1.*finite"),
        (b'[{"a": 1}, {"a": 1, "a": 2}]', "row 1.*twice"),
        (b'[{"a": 1}] []', "goes on after"),
        (b'[{"a": "\xe9"}]', "UTF-8"),
        (b'[{"a": ' + b"[" * 100_000, "nested|JSON"),
    ],
)
def test_faults_are_located(tmp_path, content, message):
    path = tmp_path / "people.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}"):
        list(read_json_records(path))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list(read_json_records(tmp_path / "absent.json"))


def test_a_long_file_takes_the_memory_of_a_short_one(tmp_path):
    row = {f"i{n}": 3 for n in range(300)}
    path = tmp_path / "people.json"
    path.write_text(json.dumps([row] * 2000), encoding="utf-8")
    tracemalloc.start()
    assert sum(1 for _ in read_json_records(path)) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size
