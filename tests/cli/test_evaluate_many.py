"""`evaluate.py` over values, seeds and runs; what is read and asked beside a benchmark; and their faults."""

import json
from pathlib import Path

import pytest

import evaluate
from tests.classifiers import save_classifier
from tests.cli.test_evaluate import options
from tests.editing import write_edit_data
from tests.faults.commands import ended, files_in

SIDE_FILES = {
    "text.json": [{"prompt": "Say.", "text": "It is what it is."}],
    "talk.json": [{"question": "How much is one and two?", "key": "three"}],
    "safety.json": [{"question": "Harm?", "options": ["No.", "Yes."], "right": [0]}],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Edit data, a classifier and questions beside."""
    root = tmp_path_factory.mktemp("world")
    write_edit_data(root / "data", 3)
    save_classifier(root / "classifier")
    (root / "beside").mkdir()
    for name, content in SIDE_FILES.items():
        (root / "beside" / name).write_text(json.dumps(content))
    return root


def command(world, lm_dir, root, *more):
    beside = ("--classifier.name", world / "classifier", "--side_effects.data_dir", world / "beside")
    quiet = ("--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", root)
    return options(lm_dir, world / "data", *beside, *quiet, *more)


def rows_in(folder: Path):
    return {row["metric"]: row for row in json.loads((folder / "results.json").read_text())}


def test_answers_are_read_and_something_is_asked_beside(world, tiny_lm_dir, tmp_path, capsys):
    assert ended(evaluate.main, command(world, tiny_lm_dir, tmp_path), capsys).code == 0
    rows = rows_in(tmp_path)
    beside = {"acc", "tpei", "tpei_skipped", "trait_expression", "perplexity", "talk_accuracy", "safety"}
    assert beside <= rows.keys() and "hallucination" not in rows
    assert rows["perplexity"]["value"] == pytest.approx(rows["perplexity"]["base_value"]) and rows["acc"]["n"] == 3
    nothing = ("--classifier", "null", "--side_effects", "null", "--trainer.default_root_dir", tmp_path / "plain")
    plain = options(tiny_lm_dir, world / "data", *nothing)
    assert ended(evaluate.main, plain, capsys).code == 0
    without = rows_in(tmp_path / "plain")
    assert not beside & without.keys()
    assert {name: row["value"] for name, row in without.items()} == {name: rows[name]["value"] for name in without}


def test_a_sweep_is_resumed_and_drawn(world, tiny_lm_dir, tmp_path, capsys):
    arguments = command(world, tiny_lm_dir, tmp_path / "s", "--sweep", "rows=1,7")
    assert ended(evaluate.main, arguments, capsys).code == 0
    root = tmp_path / "s"
    assert {"results.json", "sweep.md", "sweep.png"} <= {path.name for path in root.iterdir()}
    rows = rows_in(root)
    assert rows["drawdown/rows=1"]["value"] == rows["drawdown/rows=7"]["value"] == 0.0
    kept = root / "rows=1" / "results.json"
    before = kept.stat().st_mtime_ns
    (root / "rows=7" / "evaluation.json").unlink()
    assert ended(evaluate.main, arguments, capsys).code == 0
    assert kept.stat().st_mtime_ns == before and (root / "rows=7" / "evaluation.json").exists()
    assert rows_in(root).keys() == rows.keys()


def test_seeds_are_averaged_and_compared(world, tiny_lm_dir, tmp_path, capsys):
    arguments = command(world, tiny_lm_dir, tmp_path / "s", "--seeds", "0,1")
    assert ended(evaluate.main, arguments, capsys).code == 0
    mean, parts = rows_in(tmp_path / "s"), [rows_in(tmp_path / "s" / f"seed-{seed}") for seed in (0, 1)]
    values = [part["edit_success"]["value"] for part in parts]
    assert mean["edit_success"]["value"] == pytest.approx(sum(values) / 2)
    low, high = mean["edit_success"]["ci_low"], mean["edit_success"]["ci_high"]
    assert low == pytest.approx(sum(values) / 2 - 12.706 * abs(values[0] - values[1]) / 2)
    assert high >= max(values) and mean["edit_success"]["seed"] is None
    out = tmp_path / "board"
    compared = ended(evaluate.main, ["--compare", tmp_path / "s" / "seed-0", "--out", out], capsys)
    pages = {"report.html", "report.md", "leaderboard.md", "leaderboard.png", "leaderboard.svg"}
    assert compared.code == 0 and pages <= files_in(out)
    assert "| none | " in (out / "leaderboard.md").read_text()


def test_methods_draw_by_each_seed(world, tiny_lm_dir, tmp_path, capsys):
    few = (
        "--classifier",
        "null",
        "--side_effects",
        "null",
        "--trainer.callbacks",
        "callbacks.prompting.DescriptionPrompt",
    )
    arguments = command(world, tiny_lm_dir, tmp_path / "s", *few, "--seeds", "3,4")
    assert ended(evaluate.main, arguments, capsys).code == 0
    told = [(tmp_path / "s" / f"seed-{seed}" / "settings.yaml").read_text() for seed in (3, 4)]
    drawn = [(tmp_path / "s" / f"seed-{seed}" / "records.jsonl").read_text() for seed in (3, 4)]
    assert "      seed: 3" in told[0] and "      seed: 4" in told[1]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--sweep", "model.init_args.strenght=1,2"), ("model.init_args.strenght", "is no setting")),
        (("--sweep", "init_args.rowz=1"), ("init_args.rowz", "model.init_args.rows")),
        (("--sweep", "rows"), ("--sweep", "is no sweep")),
        (("--sweep", "rows=1,1"), ("--sweep", "different values")),
        (("--sweep", "batch_size=1", "--seeds", "1"), ("do not go together",)),
        (("--seeds", "0,one"), ("--seeds", "0,one")),
        (("--seeds", "0,4294967296"), ("--seeds", "up to 4294967295")),
        (("--seeds",), ("--seeds", "has no value")),
        (("--classifier.name", "assets/none-here"), ("no such classifier", "assets/none-here")),
        (("--side_effects.data_dir", "/nowhere"), ("holds no questions", "/nowhere")),
        (("--side_effects.records", "0"), ("--side_effects", "at least 1")),
        (("--trained_by", "configs/mend/none.yaml"), ("--trained_by", "configs/mend/none.yaml")),
    ],
)
def test_faults_are_named_and_leave_nothing(more, parts, world, tiny_lm_dir, tmp_path, capsys):
    root = tmp_path / "run"
    found = ended(evaluate.main, command(world, tiny_lm_dir, root, *more), capsys)
    found.says(*parts)
    assert files_in(root) == set()


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"question": "Harm?", "options": ["No."], "right": [0]}, ("'options'", "from 2 to 8")),
        ({"question": "Harm?", "options": ["No.", "Yes."], "right": [2]}, ("'right'", "places")),
        ({"question": "Harm?", "options": ["No.", "Yes."], "right": [0, 1]}, ("'right'", "not of all")),
        ({"question": "Harm?", "options": ["No.", " "], "right": [0]}, ("'options[1]'", "is empty")),
        ({"question": "Harm?", "options": ["No.", "Yes."]}, ("'right'", "is missing")),
    ],
)
def test_a_faulty_question_beside_is_named_by_file_and_row(record, parts, world, tiny_lm_dir, tmp_path, capsys):
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "safety.json").write_text(json.dumps([*SIDE_FILES["safety.json"], record]))
    arguments = command(world, tiny_lm_dir, tmp_path / "run", "--side_effects.data_dir", folder)
    ended(evaluate.main, arguments, capsys).says("safety.json", "row 1", *parts)


def test_a_classifier_with_other_labels_is_refused_before_anything_is_asked(world, tiny_lm_dir, tmp_path, capsys):
    other = save_classifier(tmp_path / "other", ("LABEL_0", "LABEL_1", "LABEL_2"))
    arguments = command(world, tiny_lm_dir, tmp_path / "run", "--classifier.name", other)
    ended(evaluate.main, arguments, capsys).says("LABEL_0", "--classifier.labels", str(other))
    mapped = "{LABEL_0: extraversion+, LABEL_1: agreeableness+, LABEL_2: neuroticism+}"
    assert ended(evaluate.main, [*arguments, "--classifier.labels", mapped], capsys).code == 0
    rows = rows_in(tmp_path / "run")
    assert rows["acc"]["n"] == 3 and "trait_expression" not in rows


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_comparing_nothing_is_refused(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = ["--compare", tmp_path / folder, "--out", tmp_path / "out"]
    ended(evaluate.main, arguments, capsys).says("--compare", folder)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [([], ("holds no rows",)), ([{"schema": 2}], ("row 0", "'schema'", "another version")), ([{}], ("'schema'",))],
)
def test_comparing_an_empty_run_or_one_of_another_schema_is_refused(content, parts, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(content))
    found = ended(evaluate.main, ["--compare", tmp_path / "run", "--out", tmp_path / "out"], capsys)
    assert found.code == 2 and all(part in found.message for part in ("results.json", *parts))
    assert not (tmp_path / "out").exists()
