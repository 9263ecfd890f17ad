"""The command line of `chat.py`: what is wrong is named, and nothing is served."""

import socket

import pytest

import chat
from tests.faults.commands import ended


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def test_a_port_that_is_taken_ends_the_command(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended(chat.main, ["--port", port], capsys).says("--port", "taken", str(port))


def test_what_is_not_there_is_named(capsys, tmp_path):
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    out = ["--port", free_port(), "--out", tmp_path / "chat"]
    ended(chat.main, ["--methods", '["nowhere.yaml"]', *out], capsys).says("--methods", "nowhere.yaml")
    ended(chat.main, ["--models", '["./nowhere"]', *out], capsys).says("no such model folder")
    ended(chat.main, ["--classifier", "./nowhere", *out], capsys).says("no such classifier")
    (tmp_path / "file").write_text("")
    assert ended(chat.main, ["--out", tmp_path / "file", "--port", free_port()], capsys).code == 2
