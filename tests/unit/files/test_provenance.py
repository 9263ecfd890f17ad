import subprocess
from importlib import metadata

import pytest

import files.provenance
from files.errors import InputError
from files.provenance import commit_hash, data_hash, library_versions


def _fill(folder, content="[]"):
    (folder / "sub").mkdir(parents=True)
    (folder / "train.json").write_text(content)
    (folder / "sub" / "b.json").write_text("{}")
    return folder


def test_data_hash_depends_on_content_and_names_not_on_the_place(tmp_path):
    first, second = _fill(tmp_path / "one"), _fill(tmp_path / "two")
    assert data_hash(first) == data_hash(str(second))
    (second / ".lock").write_text("hidden files do not count")
    assert data_hash(first) == data_hash(second)
    (second / "sub" / "b.json").rename(second / "sub" / "c.json")
    assert data_hash(first) != data_hash(second)
    assert data_hash(_fill(tmp_path / "three", "[1]")) != data_hash(first)


def test_data_hash_of_files_ignores_their_order(tmp_path):
    folder = _fill(tmp_path / "one")
    paths = [folder / "train.json", folder / "sub" / "b.json"]
    assert data_hash(paths) == data_hash(paths[::-1])
    assert data_hash(paths) != data_hash(paths[:1])


def test_data_hash_of_a_hidden_place_counts_what_lies_in_it(tmp_path):
    assert data_hash(_fill(tmp_path / ".cache")) == data_hash(_fill(tmp_path / "shown"))


def test_data_hash_names_a_missing_path(tmp_path):
    with pytest.raises(InputError, match=r"none.*does not exist"):
        data_hash(tmp_path / "none")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path.resolve()
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (folder / "code.py").write_text("")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    monkeypatch.setattr(files.provenance, "REPOSITORY", folder)
    return folder


def test_commit_is_marked_when_tracked_files_differ(checkout, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    commit = commit_hash()
    assert commit is not None
    assert len(commit) == 40
    (checkout / "untracked.txt").write_text("")
    assert commit_hash() == commit
    (checkout / "code.py").write_text("changed")
    assert commit_hash() == f"{commit}+changes"


def test_no_commit_outside_our_own_checkout(checkout, monkeypatch):
    below = checkout / "site-packages"
    below.mkdir()
    monkeypatch.setattr(files.provenance, "REPOSITORY", below)
    assert commit_hash() is None
    monkeypatch.setattr(files.provenance.shutil, "which", lambda _name: None)
    assert commit_hash() is None


def test_versions_are_the_installed_ones_and_skip_absent_libraries(monkeypatch):
    monkeypatch.setattr(files.provenance, "LIBRARIES", ("torch", "no-such-library"))
    assert library_versions().keys() == {"python", "torch"}
    assert library_versions()["torch"] == metadata.version("torch")
