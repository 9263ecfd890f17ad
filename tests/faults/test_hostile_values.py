"""Names that lead elsewhere, templates in data, huge numbers, null bytes, programs in weights, clocks that jump."""

import io
import json
import os
import pickle
import random
import re
import shutil
import time
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
import torch

import evaluate
import train
from callbacks.save_bundles import SaveBundles
from files.errors import InputError
from interventions.autoencoder_files import read_autoencoder
from interventions.bundle import load_bundle, save_bundle
from interventions.places import places_of
from lightning_modules.checkpoint_file import instead_of
from lightning_modules.trained import read_checkpoint
from llm.pace import retry_after
from tests.cli.test_train import fit
from tests.editing import opinion_record, write_edit_data
from tests.faults.commands import ended, files_in
from tests.faults.readers import READERS
from tests.faults.samples import checkpoint, model
from tests.faults.test_edit_data import evaluation
from tests.faults.test_edit_training import fitting
from tests.faults.test_fuzz import outcome
from tests.faults.test_killed_runs import assert_same_training
from tests.faults.test_machine import results
from tests.unit.interventions.steered import shift_heads
from tests.unit.interventions.test_bundle import bundle_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
NAMES = ("../../out", "/out", "..", ".", "a/b", "a\\b", "con", "x" * 400, "é" * 200, "{0}", "%s", "a\nb")
NUMBERS = ("1e999", "-1e999", "9" * 400, "-" + "9" * 25, "1e-999", "9" * 5000, "1" + "0" * 308, "-0.0", "2147483648")
JSON_READERS = [name for name, reader in READERS.items() if reader.name.endswith(("json", "jsonl"))]


class Named:
    """A bundle of people with hostile names."""

    personas = NAMES

    def __init__(self):
        self.made = bundle_of(model(), shift_heads(places_of(model())))

    def only(self, _name):
        return self


def test_no_name_of_a_person_leads_to_another_folder(tmp_path, tally, monkeypatch):
    tally.of("path traversal").put_in(len(NAMES))
    monkeypatch.setattr("callbacks.save_bundles.save_bundle", lambda file, bundle: save_bundle(file, bundle.made))
    module = SimpleNamespace(stated_prompts=["plain"], bundle=lambda _: Named())
    trainer = SimpleNamespace(is_global_zero=True)
    trainer.default_root_dir = tmp_path / "a" / "run"
    SaveBundles().on_train_end(trainer, module)
    below = files_in(tmp_path / "a" / "run" / "bundles" / "plain")
    assert len(below) == len(NAMES) + 1 and files_in(tmp_path) == {f"a/run/bundles/plain/{name}" for name in below}
    tally.stood(len(NAMES))


@pytest.mark.parametrize("name", JSON_READERS)
def test_numbers_that_no_machine_holds(name, tmp_path, tally):
    reader = READERS[name]
    tally.of("huge numbers")
    sample = reader.sample().decode()
    for number in NUMBERS:
        tally.put_in()
        for content in (re.sub(r"(?<![\w.\"-])-?\d+(\.\d+)?(?![\w.\"])", number, sample), number, f'{{"a": {number}}}'):
            (tmp_path / reader.name).write_text(content)
            outcome(reader, tmp_path / reader.name)
        tally.stood()


@pytest.mark.parametrize("name", READERS)
def test_null_bytes_anywhere(name, tmp_path, tally):
    reader, draw = READERS[name], random.Random(1)
    tally.of("null bytes")
    for count in (1, 3, 300):
        tally.put_in()
        content = bytearray(reader.sample())
        place = draw.randrange(len(content))
        content[place:place] = bytes(count)
        (tmp_path / reader.name).write_bytes(content)
        outcome(reader, tmp_path / reader.name)
        tally.stood()


class Touch:
    """What a pickle would do when it is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def poisoned(kind, mark):
    """A file of weights that holds a program."""
    if kind == "pickle":
        return pickle.dumps({"state_dict": Touch(mark)})
    packed = io.BytesIO()
    if kind == "as torch writes it":
        torch.save({"state_dict": {}, "oceantune": Touch(mark)}, packed)
    elif kind == "as torch once wrote it":
        torch.save({"state_dict": Touch(mark)}, packed, _use_new_zipfile_serialization=False)
    else:
        with zipfile.ZipFile(io.BytesIO(checkpoint())) as whole, zipfile.ZipFile(packed, "w") as made:
            for name in whole.namelist():
                changed = pickle.dumps(Touch(mark)) if name.endswith("data.pkl") else whole.read(name)
                made.writestr(name, changed)
    return packed.getvalue()


POISONED = ("pickle", "as torch writes it", "as torch once wrote it", "inside a whole one")


@pytest.mark.parametrize("kind", POISONED)
def test_a_program_in_a_file_of_weights_is_never_run(kind, tmp_path):
    mark = tmp_path / "run"
    for name, read in (
        ("last.ckpt", read_checkpoint),
        ("a.safetensors", lambda file: load_bundle(file, model())),
        ("sae_weights.safetensors", read_autoencoder),
    ):
        file = tmp_path / name
        file.write_bytes(poisoned(kind, mark))
        with pytest.raises(InputError):
            read(file)
    assert not mark.exists()


def test_format_fields_in_data_are_text(tiny_lm_dir, tmp_path, capsys):
    said = "{topic.__class__} {0} {} {{x}} {% for a in b %} %s %(a)s $x ${x}"
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    records = [opinion_record(number, ent=f"{said} {number}") for number in range(3)]
    (data / "test.json").write_text(json.dumps(records))
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, root), capsys).code == 0
    kept = [json.loads(line) for line in (root / "records.jsonl").read_text().splitlines()]
    assert said in kept[0]["samples"][0]["prompt"]


def test_a_device_is_no_file(tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    for main, arguments in (
        (train.main, fitting(tiny_lm_dir, data, root, "--ckpt_path", "/dev/zero")),
        (evaluate.main, evaluation(tiny_lm_dir, data, root, "--ckpt_path", "/dev/zero")),
    ):
        ended(main, arguments, capsys).says("/dev/zero", "is a device")
    ended(train.main, ["fit", "--config", "/dev/zero"], capsys).says("/dev/zero", "no such file")
    assert not root.exists()


@pytest.fixture
def jumping(monkeypatch):
    """A clock that goes years ahead and back from one look to the next."""
    draw, now = random.Random(2), time.time
    monkeypatch.setattr(time, "time", lambda: now() + draw.choice((-3e8, -90_000, -1, 0, 1, 90_000, 3e8)))


def test_a_clock_that_jumps_changes_no_result(jumping, monkeypatch, tiny_lm_dir, tmp_path, capsys):
    stop = "--trainer.callbacks+=tests.cli.stopping.StopAfter"
    assert ended(train.main, fit(tiny_lm_dir, tmp_path, stop), capsys).code == 130
    assert ended(train.main, fit(tiny_lm_dir, tmp_path), capsys).code == 0
    data = write_edit_data(tmp_path / "data", 3)
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "jumped"), capsys).code == 0
    monkeypatch.undo()
    straight = tmp_path / "straight"
    straight.mkdir()
    assert ended(train.main, fit(tiny_lm_dir, straight), capsys).code == 0
    assert_same_training(
        straight / "run", tmp_path / "run", json.loads((tmp_path / "run/run.json").read_text())["steps"]
    )
    assert ended(evaluate.main, evaluation(tiny_lm_dir, data, tmp_path / "even"), capsys).code == 0
    assert results(tmp_path / "jumped") == results(tmp_path / "even")
    rows = json.loads((tmp_path / "jumped" / "results.json").read_text())
    assert all(row["seconds"] is None or 0 <= row["seconds"] < 600 for row in rows)


def test_a_date_to_wait_for_is_never_far_away(jumping):
    for days in (-4000, -1, 0, 1, 4000):
        wish = format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)
        assert 0 <= retry_after({"retry-after": wish}, 60) <= 60
    assert retry_after({"retry-after": "Mon, 01 Jan 0001 00:00:00 -0000"}, 60) in (None, 0)


def test_the_furthest_checkpoint_is_offered_whatever_the_dates_say(tmp_path):
    for step, age in ((2, 0), (10, 9e8)):
        file = tmp_path / f"epoch=0-step={step}.ckpt"
        file.write_bytes(checkpoint())
        os.utime(file, (time.time() - age,) * 2)
    assert "step=10" in instead_of(tmp_path / "last.ckpt")


MODELS = {
    "settings that are a list": ("config.json", [], ()),
    "settings that are cut off": ("config.json", "{", ()),
    "a text for a size": ("config.json", {"hidden_size": "big"}, ("hidden_size",)),
    "a huge size": ("config.json", {"hidden_size": 10**12}, ()),
    "fewer layers than none": ("config.json", {"num_hidden_layers": -1}, ()),
    "code of its own": ("config.json", {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}, ()),
    "a tokenizer that is cut off": ("tokenizer.json", "{", ("tokenizer",)),
    "a tokenizer's settings as a list": ("tokenizer_config.json", [1], ("tokenizer",)),
    "weights cut off": ("model.safetensors", "{", ()),
    "a template that looks around": ("tokenizer_config.json", {"chat_template": "{{ ''.__class__ }}"}, ("template",)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_s_folder_with_a_fault(name, tiny_lm_dir, tmp_path, capsys):
    file, content, parts = MODELS[name]
    folder, data, mark = tmp_path / "lm", write_edit_data(tmp_path / "data", 3), tmp_path / "run-code"
    shutil.copytree(tiny_lm_dir, folder)
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass C: pass\n")
    if isinstance(content, dict):
        content = {**json.loads((folder / file).read_text()), **content}
    if "chat_template" in content:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    end = ended(train.main, fitting(folder, data, tmp_path / "run"), capsys)
    end.says(*parts)
    assert not mark.exists() and not (tmp_path / "run").exists()


def test_a_judge_that_cannot_be_reached(tmp_path, capsys):
    arguments = ("--check-judge", "--base_url", "http://127.0.0.1:9/v1", "--model", "m", "--retries", "0")
    end = ended(evaluate.main, [*arguments, "--out", tmp_path / "judge"], capsys)
    end.says("--base_url", "cannot be reached", "connection")
    assert not list((tmp_path / "judge").glob("check-*"))
