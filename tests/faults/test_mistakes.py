"""What somebody new to the programs gets wrong on a command line or in a settings file: said in a few lines, exit 2."""

import pytest

import annotate
import chat
import evaluate
import export
import train
from tests.conftest import REPOSITORY
from tests.editing import write_edit_data
from tests.faults.commands import ended, files_in
from tests.faults.test_edit_data import evaluation
from tests.faults.test_edit_training import fitting

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
QUICKSTART = REPOSITORY / "configs/mend/quickstart.yaml"
MODULE, SAVING = "lightning_modules.mend.MENDModule", "lightning.pytorch.callbacks.ModelCheckpoint"
TRAINER = [
    ("max_steps", "-5", "max_steps"),
    ("max_steps", "many", "a whole number"),
    ("max_epochs", "-7", "max_epochs"),
    ("devices", "0", "devices"),
    ("devices", "-3", "devices"),
    ("accelerator", "tpu", "torch_xla"),
    ("accelerator", "quantum", "quantum"),
    ("precision", "17", "bf16-mixed"),
    ("strategy", "ddpp", "ddpp"),
    ("strategy", "fsdp", "fsdp"),
    ("gradient_clip_val", "-1", "at least 0"),
    ("log_every_n_steps", "-1", "at least 0"),
    ("val_check_interval", "0", "--trainer.limit_val_batches 0"),
    ("val_check_interval", "1.5", "val_check_interval"),
    ("val_check_interval", "100000", "val_check_interval"),
    ("limit_train_batches", "1.5", "limit_train_batches"),
    ("accumulate_grad_batches", "0", "at least 1"),
    ("accumulate_grad_batches", "-2", "at least 1"),
    ("nonsense", "1", "--trainer.nonsense"),
    ("default_root_dir", "", "--trainer.default_root_dir"),
]


@pytest.mark.parametrize(("option", "value", "part"), TRAINER)
def test_settings_of_the_trainer(option, value, part, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    before = files_in(tmp_path)
    ended(train.main, fitting(tiny_lm_dir, data, root, f"--trainer.{option}={value}"), capsys).says(part)
    if option in ("devices", "nonsense", "accumulate_grad_batches", "default_root_dir"):
        arguments = evaluation(tiny_lm_dir, data, root, f"--trainer.{option}={value}")
        ended(evaluate.main, arguments, capsys).says(part)
    assert files_in(tmp_path) == before and not root.exists()


@pytest.mark.parametrize("seed", ["-1", "99999999999"])
def test_seeds_out_of_range(seed, tiny_lm_dir, tmp_path, capsys):
    data, root = write_edit_data(tmp_path / "data", 3), tmp_path / "run"
    for main, made in ((train.main, fitting), (evaluate.main, evaluation)):
        end = ended(main, made(tiny_lm_dir, data, root, f"--seed_everything={seed}"), capsys)
        end.says("--seed_everything", "4294967295", f"got: {seed}")
    assert not root.exists()


# What stands in the quickstart's settings, what is written in its place, and what is said of it.
WRITTEN = {
    "no such module": (
        MODULE,
        "lightning_modules.mendd.MENDModule",
        ("'model'", "there is no", "such as mend"),
    ),
    "no such class": (MODULE, "lightning_modules.mend.MendModule", ("there is no", "such as MENDModule")),
    "of another kind": (MODULE, "datamodules.personality_edit.EditDataModule", ("is no PersonaModule",)),
    "for evaluate.py": (MODULE, "lightning_modules.evaluation.EvalModule", ("is no PersonaModule", "evaluate.py")),
    "an option's name": ("cedit: 1.0", "cedits: 1.0", ("'model.loss.cedits'", "is not known", "such as cedit")),
    "a section's name": ("\ntrainer:", "\ntrainr:", ("trainr", "is not known")),
    "text for a number": ("batch_size: 8", "batch_size: eight", ("'data.batch_size'", "a whole number", "got: eight")),
    "nothing": ("name: assets/tiny-ocean", "name:", ("'model.lm.name'", "is missing")),
    "a callback": (SAVING, f"{SAVING}s", ("'trainer.callbacks'", "there is no", "such as ModelCheckpoint")),
    "a callback's option": ("save_last: true", "save_lost: true", ("save_lost", "such as save_last")),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_settings_with_a_mistake(name, tmp_path, monkeypatch, capsys):
    right, wrong, parts = WRITTEN[name]
    text = QUICKSTART.read_text(encoding="utf-8")
    assert right in text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text.replace(right, wrong))
    end = ended(train.main, ["fit", "--config", "mine.yaml"], capsys)
    end.says(*parts)
    assert len(end.message) < 700 and files_in(tmp_path) == {"mine.yaml"}


def test_settings_that_are_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, content in (("empty.yaml", ""), ("list.yaml", "- a\n"), ("text.yaml", "hello")):
        (tmp_path / name).write_text(content)
        ended(train.main, ["fit", "--config", name], capsys).says("--config", "holds no settings")
    ended(train.main, ["fit", "--config", "no.yaml"], capsys).says("no.yaml", "no such file")
    ended(train.main, ["fit", "--config", "."], capsys).says("no such file")
    ended(train.main, ["fit", "--config"], capsys).says("--config", "expected one argument")
    ended(train.main, ["fly"], capsys).says("'fly'", "'fit'")
    ended(train.main, ["fit"], capsys).says("data", "model", "is missing")
    ended(evaluate.main, ["--config", QUICKSTART], capsys).says("is no EvalModule", "train.py")


@pytest.mark.parametrize(
    ("main", "arguments", "parts"),
    [
        (annotate.main, ("ask", "--ordinary", "many"), ("'ordinary'", "a whole number", "got: many")),
        (annotate.main, ("ask", "--nonsense", "3"), ("--nonsense", "annotate.py ask --help")),
        (annotate.main, ("fly",), ("fly",)),
        (export.main, ("a.ckpt", "--out", "b", "--form", "pdf"), ("'form'", "one of 'auto'", "got: pdf")),
        (export.main, ("a.ckpt",), ("'out'", "is missing")),
        (chat.main, ("--nonsense", "1"), ("--nonsense",)),
        (chat.main, ("--port", "many"), ("'port'", "a whole number")),
    ],
)
def test_options_of_other_programs(main, arguments, parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ended(main, arguments, capsys).says(*parts)
    assert not list(tmp_path.iterdir())
