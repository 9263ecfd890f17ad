"""A MEND checkpoint is evaluated as if each edit had been written into plain weights."""

import json
import math

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules.personality_edit import EditDataModule
from lightning_modules.mend import MENDModule
from lightning_modules.trained import load_trained
from lm.loading import LMSpec
from tests.editing import evaluate_edits, write_edit_data


@pytest.fixture(scope="module")
def run(tiny_lm_dir, tmp_path_factory):
    """A barely trained editor and the data it was trained on."""
    root = tmp_path_factory.mktemp("mend")
    data = write_edit_data(root / "data", 4)
    spec = LMSpec(str(tiny_lm_dir))
    trainer = Trainer(
        accelerator="cpu",
        max_steps=2,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(MENDModule(spec, last_layers=1, edit_lr=-0.5), datamodule=EditDataModule(spec, str(data), batch_size=2))
    trainer.save_checkpoint(root / "last.ckpt")
    return data, root / "last.ckpt"


def mean_log_prob(model, tokenizer, rows):
    """Mean log-probability of all answer tokens of these rows, one row at a time."""
    values = []
    for question in rows:
        prompt = tokenizer(f"<|bos|><|user|>{question.prompt[0]['content']}<|end|><|assistant|>")["input_ids"]
        answer = tokenizer(f"{question.answer}<|end|>")["input_ids"]
        with torch.no_grad():
            log_probs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        values += [log_probs[len(prompt) + place - 1, token].item() for place, token in enumerate(answer)]
    return math.fsum(values) / len(values)


@pytest.mark.filterwarnings("ignore:Found .* module")
def test_figures_equal_those_of_materialised_edits(run, tiny_lm_dir, tmp_path):
    data, checkpoint = run
    evaluate_edits(tiny_lm_dir, data, tmp_path, ckpt_path=str(checkpoint), data={"batch_size": 4})
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    trained = load_trained(checkpoint, LMSpec(str(tiny_lm_dir)))
    module = EditDataModule(LMSpec(str(tiny_lm_dir)), str(data), batch_size=4)
    module.setup("test")
    batch = module.batchers["test"].batch(range(4))
    edit, tokenizer = trained.intervene(batch), trained.module.tokenizer
    for place, record in enumerate(records):
        plain = edit.only(place).materialize(trained.base)
        rows = [question for question in batch.questions.likelihoods if question.record == place]
        target = [question for question in rows if question.part == "target"]
        before = mean_log_prob(trained.base, tokenizer, target)
        after = mean_log_prob(plain, tokenizer, target)
        others = mean_log_prob(plain, tokenizer, [question for question in rows if question.part == "other"])
        success = min(1.0, math.exp(after - before)) / (1 + math.exp(others - after))
        assert record["values"]["edit_success"] == pytest.approx(success, rel=1e-4)
        assert record["values"]["drawdown"] > 0
        assert abs(after - before) > 1e-3


def test_the_rows_are_named_after_the_method(run, tiny_lm_dir, tmp_path):
    data, checkpoint = run
    evaluate_edits(tiny_lm_dir, data, tmp_path, ckpt_path=str(checkpoint), data={"limit": 2})
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {(row["benchmark"], row["method"]) for row in rows} == {("personality_edit", "mend")}
    plain = {row["metric"]: row for row in rows if row["persona"] == "all"}
    assert plain["edit_success"]["base_value"] == pytest.approx(0.5, abs=0.1)
    assert plain["drawdown"]["base_value"] == 0.0
