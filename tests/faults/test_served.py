"""Annotation and judging by a real server: `transformers serve` on the built-in model."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import annotate
import evaluate
from annotation.records import Dialogue, read_records
from annotation.steps import ANSWERS
from tests.annotating import options, write_character, write_questions
from tests.conftest import REPOSITORY
from tests.faults.commands import ended
from tests.judged_runs import rows_of, write_run

MODEL = REPOSITORY / "assets" / "tiny-ocean"
LACKING = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server of the built-in model, for the time of these tests."""
    if LACKING:
        pytest.skip(
            f'the extra "serve" is not installed ({", ".join(LACKING)} missing): pip install "oceantune[serve]"'
        )
    program = shutil.which("transformers", path=str(Path(sys.executable).parent)) or shutil.which("transformers")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "serve", str(MODEL), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    written = tmp_path_factory.mktemp("serve") / "log.txt"
    with written.open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 120
        while not _is_healthy(port):
            assert process.poll() is None, f"transformers serve ended by itself:\n{written.read_text()}"
            assert time.monotonic() < end, f"transformers serve does not answer:\n{written.read_text()}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
    except (URLError, OSError):
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_in_model_answers_as_a_character(address, tmp_path, capsys):
    character, out = write_character(tmp_path / "ada"), tmp_path / "out"
    model = ["--base_url", address, "--model", str(MODEL), "--progress", "false", "--out", str(out), "--timeout", "60"]
    given = [*options(character), *model]
    annotate.main(["retrieve", *options(character), "--out", str(out)])
    write_questions(out, 12, character)
    command = ["answer", *given, "--max_tokens", "24", "--knowledge_words", "30", "--style_words", "5"]
    end = ended(annotate.main, command, capsys)
    assert end.code == 0, end.message
    answers = list(read_records(out / ANSWERS, Dialogue))
    lost = json.loads((out / "steps.json").read_text())["answer"]["failures"]
    assert len(answers) + sum(lost.values()) == 12 and len(answers) >= 10
    assert {one.backend for one in answers} == {f"{MODEL} at {address}"}
    first = (out / ANSWERS).read_bytes()
    begin = time.monotonic()
    assert ended(annotate.main, command, capsys).code == 0
    assert (out / ANSWERS).read_bytes() == first or lost
    assert time.monotonic() - begin < 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_built_in_model_judges_as_far_as_it_can(address, tmp_path, capsys):
    folder, out = write_run(tmp_path / "run"), tmp_path / "judge"
    model = ["--base_url", address, "--model", str(MODEL), "--progress", "false", "--timeout", "60"]
    command = ["--judge", folder, *model, "--check", "false", "--repeats", "1", "--out", out]
    end = ended(evaluate.main, command, capsys)
    assert end.code == 0, end.message
    row = rows_of(folder)["mend", "pae"]
    judge = row["judge"]
    # It has never been asked for a rating: what it says is counted, and nothing of it is scored as 0.
    failures = sum(judge["failures"].values())
    unanswered = failures - judge["parse_failures"]
    assert judge["asked"] == 12 and 0 <= unanswered <= 4 and 0 < failures <= 12
    assert (row["value"] is None) == (row["n"] == 0)
    assert judge["name"] == str(MODEL) and row["cost"]["tokens"] > 0
    files = {name: (folder / name).read_bytes() for name in ("results.json", "records.jsonl")}
    begin = time.monotonic()
    assert ended(evaluate.main, command, capsys).code == 0
    assert {name: (folder / name).read_bytes() for name in files} == files or unanswered
    assert time.monotonic() - begin < 30
