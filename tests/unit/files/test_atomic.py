import json
import os
import stat
from pathlib import Path

import pytest

import files.atomic
from files.atomic import atomic_write_bytes, atomic_write_text, ensure_writable_folder, write_json, write_lines
from files.errors import InputError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "deep" / "er" / "a.txt"
    assert atomic_write_text(target, "first\n") == target
    atomic_write_text(target, "zweite Zeile: ü\n")
    assert target.read_bytes() == "zweite Zeile: ü\n".encode()
    assert _names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_half_written(tmp_path, monkeypatch, failing, error):
    target = atomic_write_bytes(tmp_path / "a.bin", b"old")

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(files.atomic.os, failing, fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        atomic_write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert _names(tmp_path) == ["a.bin"]
    if isinstance(error, OSError):
        assert "No space left" in str(caught.value)
        assert str(target) in str(caught.value)


def test_permissions_are_those_of_a_plain_file_or_of_the_replaced_one(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    target = atomic_write_text(tmp_path / "a.txt", "")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    target.chmod(0o640)
    atomic_write_text(target, "again")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path):
    real = tmp_path / "real.txt"
    real.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    atomic_write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        atomic_write_text(tmp_path, "text")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match=r"runs.*cannot be written"):
        atomic_write_text(tmp_path / "runs" / "a.txt", "text")
    with pytest.raises(InputError, match="choose another output folder"):
        ensure_writable_folder(tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        ensure_writable_folder(tmp_path)
    tmp_path.chmod(0o700)


def test_a_refusing_folder_is_named_whoever_runs_the_test(tmp_path, monkeypatch):
    def refuse(**_arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.atomic.tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match="Read-only file system"):
        ensure_writable_folder(tmp_path / "out")


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    assert _names(ensure_writable_folder(tmp_path / "a" / "b")) == []


def test_json_is_readable_utf8_and_refuses_what_json_lacks(tmp_path):
    target = write_json(tmp_path / "a.json", {"name": "Zoë", "values": [1, 0.5, None]})
    assert json.loads(target.read_text(encoding="utf-8")) == {"name": "Zoë", "values": [1, 0.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"value": float("nan")})
    assert "Zoë" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize("write", [lambda path: atomic_write_text(path, "x"), lambda path: write_lines(path, ["x"])])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, write):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no file"):
        write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo() and [file.name for file in tmp_path.iterdir()] == ["pipe"]
