"""The PersonalityEdit data module: splits, epochs, going on, and options."""

import json

import pytest
import torch

from datamodules.personality_edit import EditDataModule
from files.errors import InputError
from lm.loading import LMSpec
from organism.questions import OPINION_QUESTIONS
from tests.editing import TRAITS, opinion_record, write_edit_data


@pytest.fixture
def data(tmp_path):
    return write_edit_data(tmp_path / "data", 7)


def module(lm_dir, data, stage="fit", **options):
    made = EditDataModule(LMSpec(str(lm_dir)), str(data), **{"batch_size": 3, **options})
    made.setup(stage)
    return made


def summary(batch):
    return [(record.topic, record.target, record.locality_topic) for record in batch.records]


def test_training_sees_every_record_once_an_epoch_with_new_draws(tiny_lm_dir, data):
    loader = module(tiny_lm_dir, data).train_dataloader()
    epochs = [[edit for batch in loader for edit in summary(batch)] for _ in range(3)]
    assert all(sorted(topic for topic, *_ in epoch) == sorted(topic for topic, *_ in epochs[0]) for epoch in epochs)
    drawn = [{topic: target for topic, target, _ in epoch} for epoch in epochs]
    assert drawn[0] != drawn[1] or drawn[1] != drawn[2]


@pytest.mark.parametrize("taken", range(1, 8))
def test_a_loader_goes_on_with_the_very_same_batches(tiny_lm_dir, data, taken):
    def batches(loader, count):
        out: list = []
        while len(out) < count:
            for batch in loader:
                out.append(batch)
                if len(out) == count:
                    break
        return out

    straight = batches(module(tiny_lm_dir, data).train_dataloader(), 8)
    first = module(tiny_lm_dir, data).train_dataloader()
    batches(first, taken)
    second = module(tiny_lm_dir, data).train_dataloader()
    second.load_state_dict(first.state_dict())
    rest = batches(second, 8 - taken) if taken < 8 else []
    for wanted, got in zip(straight[taken:], rest, strict=True):
        assert summary(wanted) == summary(got)
        assert torch.equal(wanted.edit.input_ids, got.edit.input_ids)
        assert torch.equal(wanted.outer.input_ids, got.outer.input_ids)


def test_validation_and_test_are_the_same_every_time_and_in_order(tiny_lm_dir, data):
    made = module(tiny_lm_dir, data)
    first, second = ([edit for batch in made.val_dataloader() for edit in summary(batch)] for _ in range(2))
    assert first == second and [topic for topic, *_ in first] == [f"Topic {k}" for k in range(7)]
    tested = module(tiny_lm_dir, data, "test")
    targets = [record.target for batch in tested.test_dataloader() for record in batch.records]
    assert targets == [TRAITS[number % 3] for number in range(7)]


def test_training_may_ask_for_few_opinions_of_each_trait_never_the_edits_own(tiny_lm_dir, data):
    made = module(tiny_lm_dir, data, train_opinions=1)
    loader = made.train_dataloader()
    epochs = [list(loader) for _ in range(4)]
    for batch in (batch for epoch in epochs for batch in epoch):
        assert len(batch.outer_record) == len(batch.locality_record) == len(TRAITS) * len(batch)
        assert torch.bincount(batch.outer_record[batch.same_mask]).tolist() == [1] * len(batch)
        assert batch.scored.all()
    asked = {tuple(row.tolist()) for epoch in epochs for batch in epoch for row in batch.outer.input_ids}
    assert len(asked) > 3 * 7, "the opinions are drawn anew"
    full = module(tiny_lm_dir, data)
    same = zip(made.val_dataloader(), full.val_dataloader(), strict=True)
    assert all(torch.equal(few.outer.input_ids, every.outer.input_ids) for few, every in same)


def test_only_the_files_of_a_stage_are_read(tiny_lm_dir, data):
    (data / "test.json").unlink()
    module(tiny_lm_dir, data)
    with pytest.raises(InputError, match="test.json: does not exist"):
        module(tiny_lm_dir, data, "test")


def test_questions_come_from_the_built_in_list_unless_given(tiny_lm_dir, data):
    prompts = {
        record.prompt[0]["content"]
        for batch in module(tiny_lm_dir, data, "test").test_dataloader()
        for record in batch.records
    }
    assert prompts <= {question.replace("{topic}", f"Topic {k}") for question in OPINION_QUESTIONS for k in range(7)}
    own = module(tiny_lm_dir, data, "test", questions=["Say: {topic}"])
    assert next(iter(own.test_dataloader())).records[0].prompt[0]["content"] == "Say: Topic 0"


def test_traits_can_be_others_than_the_published_ones(tiny_lm_dir, tmp_path):
    traits = ("openness", "narcissism")
    for split in ("train", "val", "test"):
        records = [
            {"ent": f"T{k}", "openness": ["a."], "narcissism": ["b.", "c."], "target_per": "narcissism"} for k in (0, 1)
        ]
        (tmp_path / f"{split}.json").write_text(json.dumps(records))
    batch = next(iter(module(tiny_lm_dir, tmp_path, traits=traits).train_dataloader()))
    assert {record.target for record in batch.records} == {"narcissism"}


def test_a_limit_keeps_the_first_records(tiny_lm_dir, data):
    made = module(tiny_lm_dir, data, "test", limit=2)
    assert [len(batch) for batch in made.test_dataloader()] == [2]
    assert made.settings()["limit"] == 2 and made.data_files() == [data / "test.json"]


def test_every_opinion_is_read_in_full(tiny_lm_dir, tmp_path):
    data = write_edit_data(tmp_path, 2)
    long = opinion_record(0, extraversion=["x" * 300])
    (data / "test.json").write_text(json.dumps([long, opinion_record(1)]))
    batch = next(iter(module(tiny_lm_dir, data, "test").test_dataloader()))
    assert batch.outer.answer_mask.sum(-1).max() > 300


def test_edits_come_from_a_hub_data_set(tiny_lm_dir, data, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for split in ("train", "val", "test"):
        records = json.loads((data / f"{split}.json").read_text(encoding="utf-8"))
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (data / f"{split}.json").unlink()
        (data / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    made = module(tiny_lm_dir, f"hub:{data}")
    assert len(made.batchers["train"]) == len(made.batchers["val"]) == 7
    made.setup("test")
    assert made.batchers["test"].batch([0]).records[0].target and made.data_files() == []
