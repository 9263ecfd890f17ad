"""The journal of finished work: what is picked up, and what is not."""

import pytest

from files.errors import InputError
from files.journal import Journal


def test_entries_of_all_writers_are_read_back(tmp_path):
    Journal(tmp_path / "j", "work", 0).append([{"id": 1, "text": "Zoë\n\u2028"}, {"id": 2}])
    Journal(tmp_path / "j", "work", 1).append([{"id": 3}])
    assert Journal(tmp_path / "j", "work").read() == [{"id": 1, "text": "Zoë\n\u2028"}, {"id": 2}, {"id": 3}]


def test_entries_of_other_work_are_passed_over(tmp_path):
    Journal(tmp_path, "old settings").append([{"id": 1}])
    journal = Journal(tmp_path, "new settings")
    assert journal.read() == []
    journal.append([{"id": 2}])
    assert journal.read() == [{"id": 2}]


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_write_cut_short_loses_only_itself(tmp_path, cut):
    first = Journal(tmp_path, "w")
    first.append([{"id": 1}])
    whole = (tmp_path / "part-0.jsonl").read_bytes()
    first.append([{"id": 2, "text": "äöü"}])
    (tmp_path / "part-0.jsonl").write_bytes((tmp_path / "part-0.jsonl").read_bytes()[: len(whole) + cut])
    again = Journal(tmp_path, "w")
    assert again.read() == [{"id": 1}]
    again.append([{"id": 3}])
    assert again.read() == [{"id": 1}, {"id": 3}]


def test_clearing_leaves_nothing_behind(tmp_path):
    journal = Journal(tmp_path / "j", "w")
    assert journal.read() == []
    journal.append([{"id": 1}])
    journal.clear()
    assert not (tmp_path / "j").exists()
    journal.clear()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="finished work cannot be written down"):
        Journal(tmp_path / "file" / "j", "w").append([{"id": 1}])
