"""Faulty PersonalityEdit files and options: a clean error with its place, and nothing written."""

import json
import os

import pytest

import evaluate
from tests.editing import opinion_record, write_edit_data
from tests.faults.commands import ended, files_in


def evaluation(lm_dir, data, root, *more):
    return [
        *("--config", "configs/eval/personality_edit/none.yaml", "--model.init_args.lm.name", lm_dir),
        *("--data.init_args.data_dir", data, "--trainer.default_root_dir", root, "--trainer.accelerator", "cpu"),
        *("--model.init_args.max_new_tokens", "2", "--trainer.enable_progress_bar", "false", *more),
    ]


def broken(content):
    """The second of three records changed by a function, or the whole file by bytes."""

    def write(path):
        records = [opinion_record(number) for number in range(3)]
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(records)
            path.write_text(json.dumps(records), encoding="utf-8")

    return write


def same_topics(records):
    for record in records:
        record["ent"] = "Tea"


FAULTS = {
    "truncated": (b'[{"ent": "Tea", "extraversion": ["Lov', ("line 1",)),
    "empty file": (b"", ()),
    "not utf-8": (b'[{"ent": "Caf\xe9"}]', ("UTF-8", "byte 13")),
    "a nan": (b'[{"ent": NaN}]', ()),
    "a deep nest": (b"[" * 100_000, ()),
    "without a trait": (lambda r: r[1].pop("neuroticism"), ("row 1", "'neuroticism'", "is missing")),
    "without a topic": (lambda r: r[1].pop("ent"), ("row 1", "'ent'", "is missing")),
    "no opinions": (lambda r: r[1].update(neuroticism=[]), ("row 1", "'neuroticism'", "is empty")),
    "blank opinion": (lambda r: r[1].update(neuroticism=["Ok.", " "]), ("row 1", "'neuroticism[1]'", "is empty")),
    "text for a list": (lambda r: r[1].update(neuroticism="Ok."), ("row 1", "'neuroticism'", "wrong type", "a list")),
    "number for text": (lambda r: r[1].update(ent=7), ("row 1", "'ent'", "wrong type", "text")),
    "no record": (lambda r: r.__setitem__(1, "Tea"), ("row 1", "is not an object")),
    "unknown target": (lambda r: r[1].update(target_per="charm"), ("row 1", "'target_per'", "extraversion")),
    "no target": (lambda r: r[1].pop("target_per"), ("row 1", "'target_per'", "is missing")),
    "too long": (lambda r: r[1].update(neuroticism=["Ok.", "word " * 20_000]), ("row 1", "'neuroticism[1]'", "tokens")),
    "one topic": (same_topics, ("'ent'", "no other topic")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_file_is_reported(name, tiny_lm_dir, tmp_path, capsys):
    content, parts = FAULTS[name]
    data, root = write_edit_data(tmp_path / "data"), tmp_path / "run"
    broken(content)(data / "test.json")
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, root), capsys)
    end.says(str(data / "test.json"), *parts)
    assert not root.exists()


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--data.init_args.data_dir", "/no/such"), ("'--data.init_args.data_dir'", "/no/such")),
        (("--data.init_args.batch_size", "0"), ("'--data.init_args.batch_size'", "at least 1", "got: 0")),
        (("--data.init_args.traits", "[extraversion,charm]"), ("'--data.init_args.traits'", "charm")),
        (("--data.init_args.questions", "[What?]"), ("'--data.init_args.questions'", "{topic}", "What?")),
        (("--model.init_args.lm.name", "/no/such"), ("/no/such", "no such model folder")),
        (("--model.init_args.temperature", "-1"), ("temperature", "0 or more")),
        (("--model.init_args.rows", "0"), ("rows", "1 or more")),
    ],
)
def test_a_faulty_option_is_reported(more, parts, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data"), tmp_path / "run"
    ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *more), capsys).says(*parts)
    assert "results.json" not in files_in(root)


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--data.init_args.nonsense", "3"), ("nonsense",)),
        (("--data.init_args.batch_size", "many"), ("batch_size", "many")),
        (("--model.init_args.lm.dtype", "int3"), ("dtype", "int3")),
        (("--config", "/no/such.yaml"), ("/no/such.yaml",)),
        (("--trainer.nonsense", "3"), ("nonsense",)),
    ],
)
def test_what_the_parser_refuses_names_the_option(more, parts, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data"), tmp_path / "run"
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *more), capsys)
    assert end.code == 2 and "Traceback" not in end.message
    for part in parts:
        assert part in end.message
    assert not root.exists()


def test_an_unwritable_output_folder_is_reported(tiny_lm_dir, tmp_path, capsys):
    """A file stands where the folder should be: refused for every user, root included."""
    data, blocked = write_edit_data(tmp_path / "data"), tmp_path / "blocked"
    blocked.write_text("keep me")
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, blocked / "run"), capsys)
    end.says(str(blocked), "cannot be written")
    assert blocked.read_text() == "keep me"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_folder_is_reported(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data"), tmp_path / "run"
    root.mkdir(mode=0o500)
    ended(evaluate.main, evaluation(tiny_lm_dir, data, root), capsys).says(str(root), "cannot be written")


def test_an_unfinished_evaluation_that_is_garbled_starts_again(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data"), tmp_path / "run"
    (root / "unfinished").mkdir(parents=True)
    (root / "unfinished" / "part-0.jsonl").write_bytes(b'\xff\x00{"fingerprint": 7}\n[]\n{"record": ')
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, root), capsys).code == 0
    assert "results.json" in files_in(root)
