"""`annotate.py` from the command line: help at once, the quickstart, and every command on its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import annotate
from annotation.commands import next_command
from annotation.records import Dialogue, Pair, Prompt, read_records
from annotation.steps import StepFolder
from organism.characters.examination import TESTS, read_examination
from tests.annotating import write_character
from tests.conftest import REPOSITORY
from tests.faults.commands import ended, files_in
from tests.recipes.stand_ins import FOLDER, LINES, some_lines


def test_help_loads_nothing():
    code = "import sys, annotate; annotate.main(['--help']); sys.exit('jsonargparse' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: python annotate.py")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart") / "data"
    begin = time.process_time()
    annotate.main(["quickstart", "--out", str(out)])
    return out, time.process_time() - begin


def test_the_quickstart_builds_everything_in_under_two_minutes(quickstart):
    out, seconds = quickstart
    assert seconds < 120
    assert len(list(read_records(out / "mixed.jsonl", Dialogue))) > 1000
    assert len(list(read_records(out / "preferences-train.jsonl", Pair))) > 500
    assert all(read_examination(out / "evaluation" / f"{test}.jsonl") for test in TESTS)
    assert not [name for name in files_in(out) if name.endswith((".tmp", ".sqlite"))]


def test_the_quickstart_trains_nothing_that_is_examined(quickstart):
    out, _ = quickstart
    trained = {(one.character, one.question) for one in read_records(out / "mixed.jsonl", Dialogue)}
    for test in ("facts", "premises", "stages", "style"):
        for item in read_examination(out / "evaluation" / f"{test}.jsonl"):
            assert (item.character, item.prompt[-1]["content"]) not in trained


def test_the_quickstart_asks_nothing_in_rewarded_training_that_is_tested(quickstart):
    out, _ = quickstart
    asked = {
        name: {
            (one.character, one.stage, one.prompt[-1]["content"])
            for one in read_records(out / "prompts.jsonl", Prompt)
            if (one.pattern == "ordinary") == (name == "again")
        }
        for name in ("new", "again")
    }
    train, test = (
        {(one.character, one.stage, one.question) for one in read_records(out / name, Dialogue)}
        for name in ("train.jsonl", "test.jsonl")
    )
    examined = {
        (item.character, item.stage, item.prompt[-1]["content"])
        for test in TESTS
        for item in read_examination(out / "evaluation" / f"{test}.jsonl")
        if test != "robustness"
    }
    assert len(asked["new"]) > 400 and not asked["new"] & (train | test | examined)
    assert len(asked["again"]) > 400 and asked["again"] <= train and not asked["again"] & (test | examined)


def test_the_quickstart_names_a_training_that_reads_its_files(quickstart):
    out, _ = quickstart
    command = next_command(StepFolder(out)).split()
    assert command[:3] == ["python", "train.py", "fit"]
    assert (REPOSITORY / command[command.index("--config") + 1]).is_file()
    files = {name: Path(command[command.index(f"--data.init_args.{name}") + 1]) for name in ("file", "val_file")}
    assert files == {"file": out / "mixed.jsonl", "val_file": out / "test.jsonl"}
    assert all(file.is_file() for file in files.values())


@pytest.mark.parametrize("name", LINES)
def test_the_recipes_are_tested_on_some_of_it(quickstart, name):
    out, _ = quickstart
    committed = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert committed == some_lines(out / name, LINES[name]), "run `python -m tests.recipes.stand_ins`"


def test_record_files_go_out_and_come_back(quickstart, tmp_path, capsys):
    out, _ = quickstart
    records = tmp_path / "records.txt"
    assert (
        ended(annotate.main, ["export", "--file", records, "--out", out, "--records", "test.jsonl"], capsys).code == 0
    )
    given = list(read_records(out / "test.jsonl", Dialogue))
    assert len(records.read_text().splitlines()) == 6 * len(given)
    command = ["import", "--file", records, "--out", tmp_path / "in", "--name", "Osric Vane", "--stage", "late"]
    assert ended(annotate.main, command, capsys).code == 0
    back = list(read_records(tmp_path / "in" / "answers.jsonl", Dialogue))
    assert [(one.question, one.answer) for one in back] == [(one.question, one.answer) for one in given]


def test_people_and_backgrounds_are_described(tmp_path, capsys):
    data = REPOSITORY / "assets" / "data" / "papi"
    tables = ("--people", data / "Test-set.json", "--items", data / "IPIP-NEO-ItemKey.csv")
    command = ["personality", *tables, "--split", data / "mpi_300_split.json", "--count", "3", "--out", tmp_path]
    assert ended(annotate.main, command, capsys).code == 0
    assert len(json.loads((tmp_path / "personality_prompt.json").read_text())) == 3
    assert ended(annotate.main, ["backgrounds", "--count", "4", "--out", tmp_path], capsys).code == 0
    assert len(json.loads((tmp_path / "backgrounds.json").read_text())) == 4


def test_a_conversation_at_the_keyboard(tmp_path, monkeypatch, capsys):
    typed = iter(["Where do you live?", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    annotate.main(["chat", "--name", "Tilda Marrow", "--stage", "late", "--out", str(tmp_path)])
    assert "Cedar Valley" in capsys.readouterr().out


def test_options_may_stand_in_a_file(tmp_path, capsys):
    (tmp_path / "ask.yaml").write_text(f"out: {tmp_path}\nordinary: 1\nmisleading: 0\nopinion: 0\n")
    assert ended(annotate.main, ["retrieve", "--out", tmp_path], capsys).code == 0
    assert ended(annotate.main, ["ask", "--config", tmp_path / "ask.yaml"], capsys).code == 0
    assert len((tmp_path / "questions.jsonl").read_text().splitlines()) == 80


def test_questions_about_somebody_whose_passages_are_elsewhere_say_how_to_get_them(tmp_path, capsys):
    characters, out = tmp_path / "characters.yaml", tmp_path / "out"
    ada = write_character(tmp_path / "ada")
    characters.write_text(f"- name: {ada.name}\n  knowledge: {ada.knowledge}\n  style: {ada.style}\n")
    assert ended(annotate.main, ["retrieve", "--out", out], capsys).code == 0
    command = ["ask", "--characters", characters, "--out", out, "--base_url", "http://127.0.0.1:9/v1", "--model", "m"]
    ended(annotate.main, command, capsys).says("ada-finch", f"retrieve --out {out}", "with the same --characters")
