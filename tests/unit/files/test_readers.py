import pytest

from files.errors import InputError
from files.readers import read_csv_rows, read_json, read_json_lines, require, require_list


def _file(tmp_path, content, name="a.json"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_json_with_and_without_byte_order_mark(tmp_path):
    assert read_json(_file(tmp_path, '[{"ent": "Thé"}]')) == [{"ent": "Thé"}]
    assert read_json(_file(tmp_path, b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[\n {"ent": "a"},\n {"ent"', r"line 3, column 8: is not complete JSON"),
        ('[{"ent": "cut of', r"line 1, column 10: is not complete JSON"),
        ("", r"line 1, column 1: is not complete JSON"),
        ("[1, 2] tail", r"line 1, column 8: is not JSON: Extra data"),
        ("[1,, 2]", r"line 1, column 4: is not JSON"),
        ('[{"a": 1}, {"a": {"b": [1, NaN]}}]', r"row 1, field 'a\.b\[1\]': not a finite number"),
        ("[-Infinity]", r"row 0: not a finite number"),
        ('{"a": 1e999}', r"field 'a': not a finite number"),
        ('{"a": 1' + "0" * 5000 + "}", r"field 'a': not a finite number"),
        ('{"a": 9223372036854775808}', r"field 'a': not a finite number"),
        ('[{"a": 1, "b": 2, "a": 3}]', r"row 0: gives the key 'a' twice"),
        (r'["\ud800"]', r"half of a surrogate pair"),
        ("[" * 100_000, r"nested too deeply"),
        (b'[\n"ab\xff\xfe"]', r"line 2: is not UTF-8 text at byte 5"),
        (b'\xef\xbb\xbf["\xff"]', r"is not UTF-8 text at byte 5"),
    ],
)
def test_faulty_json_is_located(tmp_path, content, message):
    path = _file(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_escaped_pairs_are_characters(tmp_path):
    assert read_json(_file(tmp_path, r'["\ud83d\ude00"]')) == ["\U0001f600"]


@pytest.mark.parametrize("read", [read_json, read_json_lines, read_csv_rows])
def test_missing_file_and_folder_are_named(tmp_path, read):
    for path, message in [(tmp_path / "none", "does not exist"), (tmp_path, "is a folder")]:
        with pytest.raises(InputError, match=message):
            list(read(path))


def test_json_lines_count_lines_and_skip_blank_ones(tmp_path):
    path = _file(tmp_path, '{"a": 1}\n\n{"a": 2}\r\n{"a": 3}')
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (3, {"a": 2}), (4, {"a": 3})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": ', r"line 2, column 7: is not complete JSON"),
        ('{"a": 1}\n[1]\n', r"row 2: is not a JSON object"),
        ('{"a": 1}\n{"a": NaN}\n', r"row 2, field 'a': not a finite number"),
        (b'{"a": 1}\n{"a": "\xe9"}\n', r"line 2: is not UTF-8 text at byte 16"),
    ],
)
def test_faulty_json_lines_are_located(tmp_path, content, message):
    path = _file(tmp_path, content)
    rows = read_json_lines(path)
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(InputError, match=message):
        next(rows)


def test_csv_rows_carry_the_line_on_which_they_begin(tmp_path):
    path = _file(tmp_path, b'\xef\xbb\xbftext,key\r\n"two\r\nlines",1\r\n\r\n"a, b",-1\r\n')
    assert list(read_csv_rows(path)) == [(2, {"text": "two\r\nlines", "key": "1"}), (5, {"text": "a, b", "key": "-1"})]
    assert list(read_csv_rows(_file(tmp_path, "a\tb\n1\t2\n"), delimiter="\t")) == [(2, {"a": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b,a\n", "column name twice"),
        ("a,b\n1,2\n1\n", r"row 3: has another number of fields"),
        ("a,b\n1,2\n1,2,3\n", r"row 3: has another number of fields"),
        ('a,b\n1,"2\n', r"row 2: is not a readable table"),
        (b"a,b\n1,\xff\n", r"line 2: is not UTF-8 text at byte 6"),
    ],
)
def test_faulty_csv_is_located(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        list(read_csv_rows(_file(tmp_path, content)))


def test_require_returns_checked_values():
    record = {"text": "a", "count": 3, "share": 1, "flag": True, "list": [1], "none": []}
    assert require(record, "text", str, file="f") == "a"
    assert require(record, "count", int, file="f") == 3
    share = require(record, "share", float, file="f")
    assert (share, type(share)) == (1.0, float)
    assert require(record, "flag", bool, file="f") is True
    assert require(record, "none", list, file="f", allow_empty=True) == []
    assert require_list(record, "list", int, file="f") == [1]


@pytest.mark.parametrize(
    ("record", "field", "kind", "message"),
    [
        ({"b": 1}, "a", str, "field 'a': is missing"),
        ({"a": None}, "a", str, "field 'a': has the wrong type"),
        ({"a": True}, "a", int, "expected: a whole number"),
        ({"a": True}, "a", float, "expected: a number"),
        ({"a": 1}, "a", bool, "expected: true or false"),
        ({"a": 1.5}, "a", int, "got: 1.5"),
        ({"a": " \n"}, "a", str, "field 'a': is empty"),
        ({"a": []}, "a", list, "field 'a': is empty"),
        (["a"], "a", str, "is not an object"),
    ],
)
def test_require_refuses(record, field, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        require(record, field, kind, file="f.json", row=7)
    assert str(caught.value).startswith("f.json, row 7")


@pytest.mark.parametrize(
    ("items", "message"),
    [([], "'a': is empty"), (["x", ""], r"'a\[1\]': is empty"), (["x", 2], r"'a\[1\]': has the wrong")],
)
def test_require_list_names_the_item(items, message):
    with pytest.raises(InputError, match=message):
        require_list({"a": items}, "a", str, file="f.json")
