"""What README.md and docs/ tell a reader to type is run, shortened, where no network is needed (`make docs-commands`).

The commands are given one after another in a checkout with empty `runs`; what one of them reads is made by those that
the pages show before.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cli.test_chat import free_port
from tests.documented import commands
from tests.documented_plan import left_parsed, written
from tests.documented_reader import Reader, scripted
from tests.faults.endpoint import FaultyEndpoint

COMMANDS = {text: tuple(words) for text, words in commands().items()}
RUN = {text: words for text, words in COMMANDS.items() if left_parsed(words) is None}
in_full = pytest.mark.skipif(os.environ.get("COMMANDS") != "full", reason="half an hour: make docs-commands runs it")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with FaultyEndpoint(answer=scripted) as endpoint:
        yield Reader(tmp_path_factory.mktemp("reader"), endpoint.base_url)


@in_full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("text", [text for text, words in RUN.items() if words[1] != "chat.py"], ids=str)
def test_a_command_does_what_its_page_says(text: str, reader: Reader) -> None:
    ended = reader.give(RUN[text])
    # benchmarks.fit says by its exit code that something does not fit on this machine.
    assert ended.code == ("this does not fit" in ended.said) and ended.said, ended.said
    assert not re.findall(r"Traceback|\w+Warning|litlogger|weights_only", ended.said), ended.said
    name = written(RUN[text])
    if name is not None:
        files = (reader.folder / "runs").rglob(name)
        assert any(file.stat().st_mtime >= ended.began for file in files), f"no new {name}\n{ended.said}"


@in_full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("text", [text for text, words in RUN.items() if words[1] == "chat.py"], ids=str)
def test_a_page_to_chat_is_served_until_it_is_interrupted(text: str, reader: Reader) -> None:
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    port = free_port()
    words = [*reader.prepared(RUN[text]), "--port", str(port)]
    with subprocess.Popen(words, cwd=reader.folder, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None and f"http://127.0.0.1:{port}" in serving.stdout.readline()
            assert "OceanTune" in page(f"http://127.0.0.1:{port}", serving)
            serving.send_signal(signal.SIGINT)
            assert serving.wait(60) == 0  # Ctrl-C is how the page is ended
        finally:
            serving.kill()


def page(address: str, serving: subprocess.Popen[str]) -> str:
    """The page, once it is served."""
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - an address of this machine
                return str(answer.read().decode())
        except OSError:
            assert serving.poll() is None and time.monotonic() < end
            time.sleep(0.3)


def test_what_is_not_run_needs_something_from_elsewhere() -> None:
    reasons = {reason for words in COMMANDS.values() if (reason := left_parsed(words)) and words[0] == "python"}
    assert len(RUN) > 60
    assert {reason for reason in reasons if not reason.endswith("from the hub")} == {
        "a sentence names it, and its options stand elsewhere"
    }
