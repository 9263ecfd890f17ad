"""`evaluate.py --judge` and `--check-judge` from the command line, and their bad input."""

import json

import pytest

import evaluate
from judging.protocol import read_protocol
from organism.graded_texts import graded_texts
from tests.faults.commands import ended, files_in
from tests.faults.endpoint import FaultyEndpoint
from tests.judged_runs import Script, rows_of, write_run

SECRET = "sk-not-to-be-seen-anywhere"
KNOWING = {one.text: f"Rating: [[{3 + 2 * one.level:.0f}]]" for one in graded_texts()}


def at(endpoint, out, *more):
    address = ("--base_url", endpoint.base_url, "--model", "scripted", "--progress", "false")
    return [*address, "--out", out, "--repeats", "1", *more]


def test_a_run_is_judged_after_its_judge_was_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    folder, out = write_run(tmp_path / "run"), tmp_path / "judge"
    with FaultyEndpoint(answer=Script({**KNOWING, "Tea is a voyage!": "Rating: [[5]]"})) as endpoint:
        command = ["--judge", folder, "--protocols", "pae", "npti_fluency", *at(endpoint, out)]
        assert ended(evaluate.main, command, capsys).code == 0
        asked, rows = endpoint.asked.total(), rows_of(folder)
        # 50 texts for the check, which serves both protocols; nine texts and adjectives, eight texts as such
        assert asked == 50 + 9 + 8
        assert rows["mend", "pae"]["value"] == 0.5 and rows["mend", "judged_fluency"]["base_value"] == 3.0
        assert all(row["judge"]["check"] == pytest.approx(1.0) for row in rows.values() if row["judge"])
        files = {name: (folder / name).read_bytes() for name in ("results.json", "records.jsonl")}
        assert ended(evaluate.main, command, capsys).code == 0
        assert endpoint.asked.total() == asked
        assert {name: (folder / name).read_bytes() for name in files} == files
    figures = json.loads((out / "check-scripted-pae.json").read_text())
    assert figures["rank_correlation"] == pytest.approx(1.0)
    assert (figures["rated"], figures["parse_failures"]) == (50, 0)
    assert not [name for name in files_in(tmp_path) if SECRET.encode() in (tmp_path / name).read_bytes()]


def test_a_doubtful_judge_is_named_as_one(tmp_path, capsys):
    with FaultyEndpoint(answer=lambda said: "Note : 4, parce que c'est gentil") as endpoint:
        evaluate.main([str(part) for part in ["--check-judge", *at(endpoint, tmp_path)]])
    told = capsys.readouterr().out
    assert "0 of 50 texts rated" in told and "50 no rating in the form asked for" in told
    assert "not to be believed" in told
    figures = json.loads((tmp_path / "check-scripted-pae.json").read_text())
    assert (figures["rank_correlation"], figures["parse_failures"], figures["rated"]) == (0.0, 50, 0)
    assert figures["judge"]["version"] == read_protocol("pae").identity


def test_a_budget_ends_the_asking_and_is_counted(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    with FaultyEndpoint(answer=Script({})) as endpoint:
        item = {"answer": "x" * 30, "adjectives": "y" * 80}
        first = read_protocol("pae").request(item, 0)
        budget = first.most_prompt_tokens() + first.max_tokens  # what the longest question may take
        limits = ("--check", "false", "--token_budget", str(budget), "--concurrency", "1")
        command = ["--judge", folder, *at(endpoint, tmp_path / "judge", *limits)]
        assert ended(evaluate.main, command, capsys).code == 0
        judge = next(row["judge"] for row in rows_of(folder).values() if row["judge"])
        assert 0 < judge["failures"]["budget"] < judge["asked"] and judge["parse_failures"] == 0
        assert 0 < endpoint.asked.total() < 9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--check-judge"], ["--base_url", "is missing"]),
        (["--check-judge", "--base_url", "http://127.0.0.1:9/v1"], ["--model", "is empty"]),
        (["--judge", "RUN", "--protocols", "kindness"], ["--protocols", "pae"]),
        (["--judge", "NOWHERE", "--base_url", "http://127.0.0.1:9/v1", "--model", "m"], ["NOWHERE"]),
        (["--judge", "RUN", "--repeats", "0"], ["--repeats", "at least 1"]),
    ],
)
def test_bad_input_ends_with_a_message_and_leaves_nothing(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "RUN")
    before = files_in(tmp_path)
    end = ended(evaluate.main, arguments, capsys)
    assert end.code == 2 and "Traceback" not in end.message
    for part in says:
        assert part in end.message
    assert files_in(tmp_path) == before


def test_every_option_is_explained(capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["--check-judge", "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    for option in ("--judge", "--protocols", "--repeats", "--token_budget", "--key_variable"):
        assert option in told
