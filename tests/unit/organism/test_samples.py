"""The sample data sets: what is committed is what the command writes, and the same seed gives the same files."""

from organism.samples import WRITERS, write_samples
from tests.conftest import REPOSITORY

COMMITTED = REPOSITORY / "assets" / "data"


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_committed_files_are_those_that_the_grammar_writes(tmp_path):
    write_samples(tmp_path)
    written, committed = files_of(tmp_path), files_of(COMMITTED)
    assert {path.parts[0] for path in written} == set(WRITERS)
    assert written.keys() == committed.keys(), "run `make sample-data`, and remove what it no longer writes"
    changed = [str(path) for path in written if written[path] != committed[path]]
    assert not changed, f"run `make sample-data`: {', '.join(changed)}"
