"""Every reader with files that a coverage-guided fuzzer (atheris) makes: each is read, or refused by a clean error.

`make faults` (`FAULTS=full`) gives each reader 10,000 files; the suite gives it 200.
"""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.documented import REPOSITORY
from tests.faults.readers import READERS
from tests.faults.tally import FULL

INPUTS = 10_000 if FULL else 200

pytestmark = [
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: it is made for Linux on x86-64"),
    pytest.mark.timeout(14_400 if FULL else 300),
]


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """What came of every reader, by its name, and the folder of each: importing is the slow part, and done once."""
    folder = tmp_path_factory.mktemp("guided")
    command = [sys.executable, "-m", "tests.faults.guided", "--runs", str(INPUTS), "--folder", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = map(json.loads, done.stdout.splitlines())
    return {line["reader"]: (line, folder / str(number)) for number, line in enumerate(lines)}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_breaks_where_its_code_leads_the_fuzzer(name, guided, tally):
    found, folder = guided[name]
    tally.of(f"guided {name}").put_in(max(1, found["tried"]))
    tally.stood(found["tried"] - (found["code"] != 0))
    broken = [file.read_bytes()[:500] for file in folder.glob("broken-*")]
    assert found["code"] == 0, f"{broken}\n{(folder / 'log').read_text(errors='replace')[-3000:]}"
    assert found["tried"] >= INPUTS
    beside = {READERS[name].name, "checkpoints", "c.yaml", "results.json"}
    assert {path.name for path in (folder / "read").iterdir()} <= beside


FAULTY = """
import json, sys
from pathlib import Path
from tests.faults import guided

def read(file):
    if b"[" in file.read_bytes():
        raise LookupError("a fault of the reader")

guided.READERS["faulty"] = guided.Reader(lambda: b"{}", read)
print(json.dumps(guided.guided("faulty", 10_000, Path(sys.argv[1]))))
"""


def test_the_fuzzer_finds_a_fault_and_keeps_the_file(tmp_path):
    command = [sys.executable, "-c", FAULTY, str(tmp_path / "faulty")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["code"] != 0 and 0 < found["tried"] < 10_000
    assert "a fault of the reader" in (tmp_path / "faulty" / "log").read_text(errors="replace")
    assert [b"[" in file.read_bytes() for file in (tmp_path / "faulty").glob("broken-*")] == [True]
