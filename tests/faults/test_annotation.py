"""Annotation against an endpoint that fails in every way, and through kills: nothing lost, nothing asked twice."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import annotate
from annotation.records import Dialogue, read_records
from annotation.steps import ANSWERS
from tests.annotating import options, write_character, write_questions
from tests.conftest import REPOSITORY
from tests.faults.commands import ended, files_in
from tests.faults.endpoint import FaultyEndpoint

FULL = os.environ.get("FAULTS") == "full"
ITEMS = 200
# As often as it is stopped in the middle: killed outright, and at last by Ctrl-C.
STOPS = [signal.SIGKILL] * (10 if FULL else 1) + [signal.SIGINT]
CONCURRENCY = 8
SECRET = "sk-not-to-be-seen-anywhere"
# By the last digit of an item, what its first attempts meet.
PASSING = ["429", "500", "cut", "no json", "no choices", "refusal", "no text", None, None, None]
STAYING = {"Question number 58?": "refusal", "Question number 159?": "500", "Question number 107?": "no json"}


def plan(said, attempt):
    if said in STAYING:
        return STAYING[said]
    number = int("".join(filter(str.isdigit, said)))
    if number in (17, 118):
        return "slow" if attempt == 1 else None
    return PASSING[number % 10] if attempt <= 1 + number % 2 else None


def prepared(tmp_path, name="out"):
    """A folder whose questions wait for their answers, and the command that answers them."""
    character = write_character(tmp_path / "ada")
    out = tmp_path / name
    annotate.main(["retrieve", *options(character), "--out", str(out)])
    texts = write_questions(out, ITEMS, character)
    return out, texts, ["answer", *options(character), "--out", str(out), "--progress", "false"]


def at(endpoint, **more):
    given = {"base_url": endpoint.base_url, "model": "m", "concurrency": CONCURRENCY, "timeout": 6, **more}
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]


def answers(out):
    return {one.question: one.answer for one in read_records(out / ANSWERS, Dialogue)}


def resident():
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_every_item_is_answered_or_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    out, texts, command = prepared(tmp_path)
    with FaultyEndpoint(plan) as endpoint:
        end = ended(annotate.main, [*command, *at(endpoint, retries=3)], capsys)
        assert end.code == 0, end.message
        assert answers(out) == {text: f"Answer to {text}" for text in texts if text not in STAYING}
        assert endpoint.keys == {SECRET}
        assert set(endpoint.answered.values()) == {1}
        failures = [json.loads(line) for line in (out / "answer-failures.jsonl").read_text().splitlines()]
        reasons = {f"Question number {row['id'].removeprefix('q-')}?": row["reason"].split(":")[0] for row in failures}
        assert reasons == {text: {"500": "server", "no json": "malformed"}.get(f, f) for text, f in STAYING.items()}
        assert json.loads((out / "steps.json").read_text())["answer"]["answers"] == ITEMS - len(STAYING)
        # Once the endpoint is well the failed ones are asked again, and only they.
        endpoint.plan = lambda said, attempt: None
        assert ended(annotate.main, [*command, *at(endpoint)], capsys).code == 0
        assert len(answers(out)) == ITEMS and set(endpoint.answered.values()) == {1}
    assert "answer-failures.jsonl" not in files_in(out)
    for name in files_in(tmp_path):
        assert SECRET.encode() not in (tmp_path / name).read_bytes(), name


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_flat(tmp_path, capsys):
    out, _, command = prepared(tmp_path)
    levels = {}
    with FaultyEndpoint(answer=lambda said: f"{said} {'word ' * 2000}") as endpoint:

        def watched(said, attempt):
            levels[endpoint.answered.total()] = resident()
            return None

        endpoint.plan = watched
        assert ended(annotate.main, [*command, *at(endpoint)], capsys).code == 0
    early, late = levels[max(n for n in levels if n <= 60)], levels[max(levels)]
    assert late - early < 24 * 2**20


@pytest.mark.timeout(900)
def test_stops_lose_at_most_what_was_under_way(tmp_path, capsys):
    out, texts, command = prepared(tmp_path)
    whole, _, other = prepared(tmp_path, "whole")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with FaultyEndpoint(pause=0.02) as endpoint:
        assert ended(annotate.main, [*other, *at(endpoint)], capsys).code == 0
        endpoint.answered.clear()
        for number, stop in enumerate(STOPS, start=1):
            process = subprocess.Popen(
                [sys.executable, "annotate.py", *command, *at(endpoint)],
                cwd=REPOSITORY,
                env=environment,
                # A shell that runs the suite in the background has it, and what it starts, ignore an interrupt.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
            assert endpoint.wait_for_answers(number * ITEMS // (len(STOPS) + 2))
            process.send_signal(stop)
            assert process.wait(60) == (-stop if stop == signal.SIGKILL else 130)
            assert not (out / ANSWERS).exists()
        assert ended(annotate.main, [*command, *at(endpoint)], capsys).code == 0
        asked_again = sum(count - 1 for count in endpoint.answered.values())
    assert set(endpoint.answered) == set(texts) and asked_again <= len(STOPS) * CONCURRENCY
    assert (out / ANSWERS).read_bytes() == (whole / ANSWERS).read_bytes()


def test_a_budget_stops_the_step_and_more_of_it_goes_on(tmp_path, capsys):
    out, texts, command = prepared(tmp_path)
    with FaultyEndpoint() as endpoint:
        end = ended(annotate.main, [*command, *at(endpoint, token_budget=4000)], capsys)
        end.says("--token_budget", "stopped before", "more requests")
        assert 0 < endpoint.answered.total() < ITEMS and not (out / ANSWERS).exists()
        assert ended(annotate.main, [*command, *at(endpoint)], capsys).code == 0
    assert len(answers(out)) == ITEMS and set(endpoint.answered.values()) == {1}


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--token_budget", "0"), ("--token_budget", "more than 0", "got: 0")),
        (("--budget", "0", "--prompt_price", "1"), ("--budget", "more than 0")),
        (("--budget", "3"), ("--budget", "--prompt_price")),
        (("--concurrency", "0"), ("--concurrency",)),
        (("--base_url", "nowhere"), ("--base_url", "nowhere")),
        (("--base_url", "https://example.org/v1"), ("OPENAI_API_KEY", "not set")),
        (("--base_url", "https://example.org/v1", "--key_variable", "MY_KEY"), ("MY_KEY", "not set")),
        (("--knowledge_words", "0"), ("--knowledge_words",)),
    ],
)
def test_faulty_options_are_reported(more, parts, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    out, _, command = prepared(tmp_path)
    before = files_in(out)
    with FaultyEndpoint() as endpoint:
        ended(annotate.main, [*command, *at(endpoint), *more], capsys).says(*parts)
        assert not endpoint.asked
    assert files_in(out) <= before | {"answers.sqlite"}


def test_faulty_sources_are_reported(tmp_path, capsys):
    out, _, command = prepared(tmp_path)
    (tmp_path / "ada" / "knowledge.txt").write_text("[tag]\n\n")
    ended(annotate.main, ["retrieve", *command[1:5], "--out", out], capsys).says("knowledge.txt", "no usable line")
    ended(annotate.main, ["retrieve", "--characters", tmp_path / "no.yaml"], capsys).says("no.yaml", "does not exist")
    ended(annotate.main, ["ask", *command[1:-2]], capsys).says("nobody that the built-in writer knows", "--base_url")
    nowhere = ["--base_url", "http://127.0.0.1:9/v1", "--retries", "0", "--timeout", "1"]
    asked = [*command[1:-2], "--ordinary", "1", "--misleading", "0", "--opinion", "0", "--model", "m", *nowhere]
    ended(annotate.main, ["ask", *asked], capsys).says("--base_url", "cannot be reached", "see that it runs")
    ended(annotate.main, ["stylise", "--out", out], capsys).says("field '--inputs': is missing")
    ended(annotate.main, ["deduplicate", "--out", tmp_path / "empty"], capsys).says(
        "answers.jsonl", "annotate.py answer"
    )
    ended(annotate.main, ["deduplicate", "--out", out, "--threshold", "2"], capsys).says("--threshold")
    ended(annotate.main, ["mix", "--out", out, "--repeats", "0"], capsys).says("--repeats")
    ended(annotate.main, ["ask", "--out", out, "--model", "m"], capsys).says("--model", "--base_url")
    ended(annotate.main, ["ask", "--out", out, "--ordinary", "-1"], capsys).says("--ordinary", "0 or more", "got: -1")
    nothing = [part for name in ("ordinary", "misleading", "opinion") for part in (f"--{name}", "0")]
    ended(annotate.main, ["ask", "--out", out, *nothing], capsys).says("--opinion", "at least one question")
    ended(annotate.main, ["answer", "--out", out, "--feedback", '["shorter"]'], capsys).says("--feedback", "--base_url")
    blocked = tmp_path / "blocked"
    blocked.write_text("keep me")
    ended(annotate.main, ["retrieve", "--out", blocked / "x"], capsys).says(str(blocked), "cannot be written")


@pytest.mark.parametrize("arguments", [["fly"], ["ask", "--nonsense", "3"], ["ask", "--ordinary", "many"]])
def test_what_the_parser_refuses_names_the_option(arguments, capsys):
    end = ended(annotate.main, arguments, capsys)
    assert end.code == 2 and "Traceback" not in end.message and arguments[-2:][0].lstrip("-") in end.message
