"""Faulty questionnaires, people, options and checkpoints of PAPI: a clean error with its place, nothing written."""

import json

import pytest

import evaluate
import train
from tests.faults.commands import ended, files_in
from tests.models import byte_tokenizer, random_model
from tests.papi import DESCRIBING, ITEMS, as_csv, item_row, learn_people, person_row, write_papi

WORDS = ("--data.init_args.wording.question", "Me? {statement}", "--data.init_args.wording.description", "{items}")


def evaluation(lm_dir, data, root, *more):
    return [
        *("--config", "configs/eval/papi/none.yaml", "--model.init_args.lm.name", lm_dir),
        *("--data.init_args.data_dir", data, "--trainer.default_root_dir", root, "--trainer.accelerator", "cpu"),
        *("--data.init_args.people", "3", "--trainer.enable_progress_bar", "false", *WORDS, *more),
    ]


def fitting(lm_dir, data, root, *more):
    return [
        *("fit", "--config", "configs/pas/quickstart.yaml", "--model.init_args.lm.name", lm_dir),
        *("--data.init_args.data_dir", data, "--trainer.default_root_dir", root, "--trainer.accelerator", "cpu"),
        *("--data.init_args.people", "3", "--trainer.enable_progress_bar", "false", *WORDS, *more),
    ]


def people(**changes):
    return json.dumps([person_row(0), person_row(1, **changes), person_row(2)]).encode()


def key(**changes):
    return as_csv([item_row(0), item_row(1, **changes), *(item_row(n) for n in range(2, ITEMS))]).encode()


def split(**changes):
    numbers = list(range(1, ITEMS + 1))
    return json.dumps({"train_index": numbers[:DESCRIBING], "test_index": numbers[DESCRIBING:]} | changes).encode()


NOTHING = {f"i{n}": 0 for n in range(1, ITEMS + 1)}
FAULTS = {
    "answer above 5": ("Test-set.json", people(i7=6), ("row 1", "'i7'", "0 to 5", "got: 6")),
    "answer below 0": ("Test-set.json", people(i30=-1), ("row 1", "'i30'", "got: -1")),
    "answer as text": ("Test-set.json", people(i7="often"), ("row 1", "'i7'", "often")),
    "nothing answered": ("Test-set.json", people(**NOTHING), ("row 1", "answered none", "101")),
    "person twice": ("Test-set.json", people(case=100), ("row 1", "'case'", "twice")),
    "people cut off": ("Test-set.json", people()[:-200], ("row 2", "ends inside")),
    "people no text": ("Test-set.json", b'[{"case": "\xff"}]', ("UTF-8",)),
    "no people": ("Test-set.json", b"[]", ("holds no person",)),
    "item without a sign": ("IPIP-NEO-ItemKey.csv", key(Sign="C1"), ("row 3", "'Sign'", "no sign", "C1")),
    "item twice": ("IPIP-NEO-ItemKey.csv", key(**{"Full#": 1}), ("row 3", "'Full#'", "twice")),
    "wording twice": ("IPIP-NEO-ItemKey.csv", key(Item="Do thing 0."), ("row 3", "'Item'", "twice")),
    "item of no trait": ("IPIP-NEO-ItemKey.csv", key(Sign="+X1", Key="X1"), ("row 3", "'Key'", "OCEAN")),
    "no workbook": ("IPIP-NEO-ItemKey.xls", b"Full#,Sign\n1,+N1\n", ("workbook",)),
    "cut workbook": ("IPIP-NEO-ItemKey.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, ("workbook",)),
    "unknown item": ("mpi_300_split.json", split(test_index=[21, 999]), ("'test_index[1]'", "got: 999")),
    "item on both sides": ("mpi_300_split.json", split(test_index=[1, 21]), ("'test_index[0]'", "already")),
    "split without scored items": ("mpi_300_split.json", split(test_index=[]), ("'test_index'", "is empty")),
    "split cut off": ("mpi_300_split.json", split()[:40], ("line 1",)),
    "descriptions of others": ("personality_prompt.json", b'[{"output": ["You."]}]', ("case 101",)),
    "description is no text": ("personality_prompt.json", b'[{"output": [7]}]', ("row 0", "'output[0]'")),
}


def faulty(name, tmp_path):
    file, content, parts = FAULTS[name]
    data = write_papi(tmp_path / "data")
    if file.endswith(".xls"):
        (data / "IPIP-NEO-ItemKey.csv").unlink()
    (data / file).write_bytes(content)
    return data, (str(data / file), *parts)


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_file_is_reported(name, tiny_lm_dir, tmp_path, capsys):
    data, parts = faulty(name, tmp_path)
    root = tmp_path / "run"
    ended(evaluate.main, evaluation(tiny_lm_dir, data, root), capsys).says(*parts)
    assert not root.exists()


@pytest.mark.parametrize("name", ["answer above 5", "item without a sign", "unknown item"])
def test_learning_reports_the_same(name, tiny_lm_dir, tmp_path, capsys):
    data, parts = faulty(name, tmp_path)
    root = tmp_path / "run"
    ended(train.main, fitting(tiny_lm_dir, data, root), capsys).says(*parts)
    assert "last.ckpt" not in str(files_in(root))


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--data.init_args.data_dir", "/no/such"), ("'--data.init_args.data_dir'", "/no/such")),
        (("--data.init_args.batch_size", "0"), ("'--data.init_args.batch_size'", "at least 1")),
        (("--data.init_args.item_key", "absent.csv"), ("absent.csv", "does not exist")),
        (("--data.init_args.written_descriptions", "absent.json"), ("absent.json", "does not exist")),
        (("--data.init_args.wording.question", "How?"), ("wording.question", "{statement}")),
        (("--data.init_args.numbering", "short"), ("Test-set.json", "lacks the column")),
    ],
)
def test_a_faulty_option_is_reported(more, parts, tiny_lm_dir, tmp_path, capsys):
    data, root = write_papi(tmp_path / "data"), tmp_path / "run"
    ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *more), capsys).says(*parts)
    assert not root.exists()


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (("--model.init_args.heads", "0"), ("model.init_args.heads", "1 or more")),
        (("--model.init_args.folds", "1"), ("model.init_args.folds", "2 or more")),
        (("--model.init_args.per_trait", "false"), ("model.init_args.along", "all without per_trait", "asked")),
    ],
)
def test_a_faulty_option_of_the_method_is_reported(more, parts, tiny_lm_dir, tmp_path, capsys):
    data, root = write_papi(tmp_path / "data"), tmp_path / "run"
    ended(train.main, fitting(tiny_lm_dir, data, root, *more), capsys).says(*parts)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_checkpoint_of_another_model_is_reported(tiny_lm_dir, tmp_path, capsys):
    data, root, other = write_papi(tmp_path / "data"), tmp_path / "run", tmp_path / "other"
    checkpoint = learn_people(tiny_lm_dir, data, tmp_path / "pas")
    random_model("llama", seed=5).save_pretrained(other)
    byte_tokenizer().save_pretrained(other)
    end = ended(evaluate.main, evaluation(other, data, root, "--ckpt_path", checkpoint), capsys)
    end.says(str(checkpoint), "another model", "expected:", str(other), str(tiny_lm_dir))
    assert not root.exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_control_without_its_method_is_reported(tiny_lm_dir, tmp_path, capsys):
    data, root = write_papi(tmp_path / "data"), tmp_path / "run"
    baseline = ("--baselines+", "callbacks.random_heads.RandomHeads")
    end = ended(evaluate.main, evaluation(tiny_lm_dir, data, root, *baseline), capsys)
    end.says("random_heads", "'--ckpt_path'", "PAS")
    assert "results.json" not in files_in(root)
